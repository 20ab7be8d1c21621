"""Where a command writes its file, and when a training saves: at its end, and on the way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from .outputs import free_name, write_elsewhere
from .streams import complain, message

# a checkpoint may take this part of the time at most
_SHARE = 1 / 20


class OutputFile:
    """The file that a command writes, perhaps several times; never somebody else's.

    Parameters
    ----------
    path : str
        When a file that this object has not written is there, another name is taken.
    force : bool
        Whether any file is replaced instead.
    spare : str
        A short file name, for `write_elsewhere`.

    Attributes
    ----------
    path : str
        The name that was taken last.
    avoided : list of str
        Names that were given up, as somebody else's file was there.
    rescued : bool
        Whether the file could not be written there in the end, and was written elsewhere.
    """

    def __init__(self, path: str, force: bool, spare: str) -> None:
        self.path = path
        self.avoided: list[str] = []
        self.rescued = False
        self._stem = os.path.splitext(path)
        self._force = force
        self._spare = spare
        self._written: tuple[int, ...] | None = None

    def write(self, write: Callable[[str], None], last: bool = False) -> None:
        """Call ``write(path)``, which must replace the file as a whole or raise.

        If it raises OSError and this is the ``last`` time, other directories are tried.
        """
        if not self._force and os.path.lexists(self.path) and not self._is_ours():
            self.avoided.append(self.path)
            self.path = free_name(*self._stem)
            self._written = None
        try:
            write(self.path)
        except OSError as error:
            if not last:
                raise
            self.path = write_elsewhere(self.path, error, write, self._spare)
            self.rescued = True
        self._written = self._identity()

    def _is_ours(self) -> bool:
        return self._written is not None and self._identity() == self._written

    def _identity(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class Checkpoints:
    """Decides when a training that is under way is saved.

    Parameters
    ----------
    seconds : float
        Between two checkpoints, at least; 0: none. Where saving takes long, the time between two
        is 20 times as long.
    save : callable
        Saves. What it raises is shown as a warning, once, and ends nothing.
    clock : callable
        The time in seconds.
    """

    def __init__(
        self,
        seconds: float,
        save: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._save = save
        self._clock = clock
        self._warned = False
        self._next = clock() + seconds

    def consider(self) -> None:
        """Save if it is time to."""
        began = self._clock()
        if self._seconds == 0 or began < self._next:
            return
        try:
            self._save()
        except Exception as error:  # noqa: BLE001 - the training is worth more
            if not self._warned:
                complain(f"warning: no checkpoint, the training goes on: {message(error)}")
            self._warned = True
        ended = self._clock()
        self._next = ended + max(self._seconds, (ended - began) / _SHARE)
