"""Shards on a pool of Python threads: the kernels run without the GIL."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from operator import index
from threading import Condition
from typing import Generic, TypeVar

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

        The calling thread evaluates too, and it alone consumes. At most ``n_threads + 1`` items are
        under way or wait to be consumed. BLAS is on one thread meanwhile. If anything raises
        (Ctrl-C too), evaluations under way are waited for, then it goes on.
        """
        items = list(items)
        with single_blas_thread():
            if self.n_threads == 1 or len(items) < 2:
                for item in items:
                    consume(evaluate(item))
                return
            work = _Work(evaluate, items, self.n_threads + 1)
            pool = self._threads()
            count = min(self.n_threads, len(items)) - 1
            helpers = [pool.submit(work.help) for _ in range(count)]
            try:
                for k in range(len(items)):
                    consume(work.result(k))
            finally:
                work.stop()
                wait([helper for helper in helpers if not helper.cancel()])

    def _threads(self) -> ThreadPoolExecutor:
        # threads do not survive a fork
        if self._pool is None or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(self.n_threads - 1, thread_name_prefix="matconv")
            self._process = os.getpid()
        return self._pool


class _Work(Generic[Item, Result]):
    """Items in order, taken by whichever thread comes next, and results that wait.

    Parameters
    ----------
    evaluate : callable
    items : list
    most : int
        Items that are under way, wait, or are being consumed.
    """

    def __init__(self, evaluate: Callable[[Item], Result], items: list[Item], most: int) -> None:
        self._evaluate = evaluate
        self._items = items
        self._most = most
        self._taken = 0
        self._asked = 0
        self._results: dict[int, Result] = {}
        self._errors: dict[int, BaseException] = {}
        self._stopped = False
        self._changed = Condition()

    def help(self) -> None:
        """Evaluate until there is nothing left to take."""
        while (k := self._take(wait=True)) is not None:
            self._run(k)

    def result(self, k: int) -> Result:
        """Of item k, to be asked for in order; whoever waits for it evaluates others meanwhile."""
        with self._changed:
            self._asked = k
            self._changed.notify_all()
        while not self._ready(k):
            mine = self._take(wait=False)
            if mine is not None:
                self._run(mine)
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._ready(k))
        if k in self._errors:
            raise self._errors.pop(k)
        return self._results.pop(k)

    def stop(self) -> None:
        """Nothing more is taken."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _take(self, wait: bool) -> int | None:
        """The next item, or None: there is none, or too many are under way and ``wait`` is no."""
        with self._changed:
            while wait and not self._over() and not self._room():
                self._changed.wait()
            if self._over() or not self._room():
                return None
            self._taken += 1
            return self._taken - 1

    def _ready(self, k: int) -> bool:
        return k in self._results or k in self._errors

    def _over(self) -> bool:
        return self._stopped or self._taken == len(self._items)

    def _room(self) -> bool:
        return self._taken - self._asked < self._most

    def _run(self, k: int) -> None:
        try:
            result = self._evaluate(self._items[k])
        except BaseException as error:
            with self._changed:
                self._errors[k] = error  # raised again where the result is asked for
                self._changed.notify_all()
            if not isinstance(error, Exception):
                raise  # Ctrl-C does not wait for its turn
            return
        with self._changed:
            self._results[k] = result
            self._changed.notify_all()


def shards(l: int, count: int) -> list[slice]:
    """0, ..., l - 1 cut into ``count`` near-equal slices.

    Examples
    --------
    >>> from matconv.engines.threads import shards
    >>> shards(10, 3)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    return [slice(k * l // count, (k + 1) * l // count) for k in range(count)]
