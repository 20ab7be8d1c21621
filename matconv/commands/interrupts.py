"""Signals that end a training early, and when they raise an exception."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

# The handler of SIGINT is replaced first and restored last: in between no other one can raise.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupted(KeyboardInterrupt):
    """The exception of a signal.

    Attributes
    ----------
    number : int
        Of the signal; the exit status is 128 + number.
    """

    def __init__(self, number: int, more: str = "") -> None:
        self.number = number
        by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
        super().__init__(f"interrupted{by}{more}")


class Interrupts:
    """Context manager in which SIGINT, SIGTERM and SIGHUP raise `Interrupted`.

    Only the first signal raises, and only within `raising`; otherwise it is recorded, so that
    saving a file is not interrupted. A signal that is ignored remains ignored (``nohup``). In
    other threads than the main one nothing is changed.

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
            return  # a second exception would interrupt the cleaning up after the first
        self.received = number
        if self._raising:
            raise Interrupted(number)

    def check(self) -> None:
        """Raise `Interrupted` if there was a signal.

        Needed because Python drops an exception that a handler raises in ``__del__``, for instance.
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
        """Within `raising`: let signals raise at the end of the block only."""
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
