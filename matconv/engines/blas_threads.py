"""BLAS on one thread while shards are evaluated.

The shards already use every core, and a product split over BLAS threads would have bits that
depend on their number. The limit belongs to the process, so it is counted: the outermost call
sets it, the last one to leave restores what was there.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController


class _Limit:
    """The limit of one process: how many calls are inside, and what the last one restores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._controller = ThreadpoolController().select(user_api="blas")
        self._limiter: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._let_any_thread_control()
                self._limiter = self._controller.limit(limits=1)
            self._depth += 1

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._let_any_thread_control()
                self._limiter.restore_original_limits()
                self._let_any_thread_control()

    def _let_any_thread_control(self) -> None:
        """From 3.8 on, threadpoolctl ignores all threads but the first that sets OpenBLAS.

        Here the call that comes first and the one that leaves last may be different threads; the
        count above is what keeps them from undoing one another's limit.
        """
        for library in self._controller.lib_controllers:
            clear = getattr(library, "clear_controlling_thread", None)
            if clear is not None:
                clear(force=True)


# by process: a forked child starts afresh, its parent's count and lock are not its own
_limits: dict[int, _Limit] = {}


def _current() -> _Limit:
    limit = _limits.get(os.getpid())
    if limit is None:
        # atomic: of threads that come first at once, all get the same one
        limit = _limits.setdefault(os.getpid(), _Limit())
    return limit


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """BLAS uses one thread inside the ``with`` block; what was set before comes back after it."""
    limit = _current()
    limit.enter()
    try:
        yield
    finally:
        limit.leave()
