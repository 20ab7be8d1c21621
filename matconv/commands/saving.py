"""OutputFile, the file that a command writes, and Checkpoints of a training."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from .outputs import free_name, write_elsewhere
from .streams import complain, message

# maximum part of the time that is spent on checkpoints
_SHARE = 1 / 20


class OutputFile:
    """A file that a command writes, possibly several times, without replacing other files.

    Parameters
    ----------
    path : str
        If a file that this object has not written exists there, a free name is used instead.
    force : bool
        Replace any file that exists.
    spare : str
        A short file name, for `write_elsewhere`.

    Attributes
    ----------
    path : str
        Name of the file that was written last, or will be written.
    avoided : list of str
        Names that were not used because another file exists there.
    rescued : bool
        Whether the file had to be written to another place by `write_elsewhere`.
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
        """Call ``write(path)``, which must replace the whole file or raise.

        If it raises OSError and this is the ``last`` write, other directories are tried.
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

    @property
    def notes(self) -> list[str]:
        """A text for each name in ``avoided``."""
        return [
            f"{name} was written by another program meanwhile and is not replaced"
            for name in self.avoided
        ]

    def _is_ours(self) -> bool:
        return self._written is not None and self._identity() == self._written

    def _identity(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class Checkpoints:
    """Saves a training at intervals.

    Parameters
    ----------
    seconds : float
        Minimum time between two checkpoints; 0: no checkpoints. The actual interval is at least 20
        times the time that saving takes.
    save : callable
        Saves the training. Its first exception is shown as a warning, later ones are ignored.
    clock : callable
        Returns the time in seconds.
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
        """Save if the interval has passed."""
        began = self._clock()
        if self._seconds == 0 or began < self._next:
            return
        try:
            self._save()
        except Exception as error:  # noqa: BLE001 - the training must go on
            if not self._warned:
                complain(f"warning: no checkpoint, the training continues: {message(error)}")
            self._warned = True
        ended = self._clock()
        self._next = ended + max(self._seconds, (ended - began) / _SHARE)
