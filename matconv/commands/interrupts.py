"""Signals that end a training early, and control over when they raise an exception."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

# The handler of SIGINT is replaced first and restored last, so that the original one, which raises,
# is not active while the others are replaced.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupted(KeyboardInterrupt):
    """Exception that a signal raises.

    Attributes
    ----------
    number : int
        Number of the signal; the exit status is 128 + number.
    """

    def __init__(self, number: int, more: str = "") -> None:
        self.number = number
        by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
        super().__init__(f"interrupted{by}{more}")


class Interrupts:
    """Context manager in which SIGINT, SIGTERM and SIGHUP raise `Interrupted`.

    Only the first signal raises, and only within `raising`. Elsewhere it is recorded, so that it
    does not interrupt the saving of a file. A signal that is ignored (``nohup``) remains ignored.
    In threads other than the main one nothing is changed.

    Attributes
    ----------
    received : int or None
        The first signal.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._raising = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                # None: a handler that C code has installed and Python cannot restore
                if handler is not None and handler != signal.SIG_IGN:
                    self._before[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number in reversed(self._before):
            signal.signal(number, self._before[number])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            return  # a second exception would interrupt the clean-up after the first
        self.received = number
        if self._raising:
            raise Interrupted(number)

    def check(self) -> None:
        """Raise `Interrupted` if there was a signal.

        The exception of the handler may have been lost: Python ignores those raised in ``__del__``.
        """
        if self.received is not None:
            raise Interrupted(self.received)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let signals raise within the block; an earlier one raises at its beginning."""
        with self._set(True):
            self.check()
            yield

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer signals to the end of the block, where they raise within `raising`."""
        with self._set(False):
            yield
        if self._raising:
            self.check()

    @contextmanager
    def _set(self, raising: bool) -> Iterator[None]:
        before, self._raising = self._raising, raising
        try:
            yield
        finally:
            self._raising = before
