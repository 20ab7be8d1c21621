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
    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.depth = 0
        self.controller = ThreadpoolController().select(user_api="blas")
        self.limiter: Any = None


_limit: _Limit | None = None


def _current() -> _Limit:
    # a forked child starts afresh: the parent's count and lock are not its own
    global _limit
    if _limit is None or _limit.process != os.getpid():
        _limit = _Limit()
    return _limit


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """BLAS uses one thread inside the ``with`` block; what was set before comes back after it."""
    limit = _current()
    with limit.lock:
        if limit.depth == 0:
            limit.limiter = limit.controller.limit(limits=1)
        limit.depth += 1
    try:
        yield
    finally:
        with limit.lock:
            limit.depth -= 1
            if limit.depth == 0:
                limit.limiter.restore_original_limits()
                limit.limiter = None
