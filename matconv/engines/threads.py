"""Shards on a pool of Python threads: the kernels run without the GIL."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from operator import index
from typing import TypeVar

from .blas_threads import single_blas_thread

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 1024


def available_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ThreadEngine:
    """Evaluates shards on ``n_threads`` threads and hands the results over in order.

    Parameters
    ----------
    n_threads : int, optional
        From 1 to 1024; every core this process may use when left out.

    Raises
    ------
    TypeError, ValueError

    Examples
    --------
    >>> from matconv.engines import ThreadEngine
    >>> squares = []
    >>> ThreadEngine(2).run(lambda x: x * x, range(5), squares.append)
    >>> squares
    [0, 1, 4, 9, 16]
    """

    def __init__(self, n_threads: int | None = None) -> None:
        if n_threads is None:
            n_threads = min(available_cores(), MOST_THREADS)
        try:
            self.n_threads = index(n_threads)
        except TypeError:
            raise TypeError(
                f"n_threads must be an integer or None, got {n_threads!r} "
                f"({type(n_threads).__name__})"
            ) from None
        if isinstance(n_threads, bool):
            raise TypeError(f"n_threads must be an integer or None, got {n_threads!r} (bool)")
        if not 1 <= self.n_threads <= MOST_THREADS:
            raise ValueError(f"n_threads must be from 1 to {MOST_THREADS}, got {n_threads}")
        self._pool: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def run(
        self,
        evaluate: Callable[[Item], Result],
        items: Iterable[Item],
        consume: Callable[[Result], object],
    ) -> None:
        """``consume(evaluate(item))`` for each item: evaluated on any thread, consumed in order.

        At most ``2 n_threads`` results wait at any time. BLAS is on one thread meanwhile. If
        anything raises (Ctrl-C too), evaluations under way are waited for, then it goes on.
        """
        items = list(items)
        with single_blas_thread():
            if self.n_threads == 1 or len(items) < 2:
                for item in items:
                    consume(evaluate(item))
                return
            pool = self._threads()
            pending: deque = deque()
            try:
                for item in items:
                    pending.append(pool.submit(evaluate, item))
                    if len(pending) == 2 * self.n_threads:
                        consume(pending[0].result())
                        pending.popleft()
                while pending:
                    consume(pending[0].result())
                    pending.popleft()
            finally:
                for future in pending:
                    future.cancel()
                wait(pending)

    def _threads(self) -> ThreadPoolExecutor:
        # threads do not survive a fork
        if self._pool is None or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="matconv")
            self._process = os.getpid()
        return self._pool


def shards(l: int, count: int) -> list[slice]:
    """0, ..., l - 1 cut into ``count`` near-equal slices.

    Examples
    --------
    >>> from matconv.engines.threads import shards
    >>> shards(10, 3)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    return [slice(k * l // count, (k + 1) * l // count) for k in range(count)]
