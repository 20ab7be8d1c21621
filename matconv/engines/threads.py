"""Evaluation of shards on a pool of threads; the kernels run without the GIL."""

from collections.abc import Callable, Iterable
from operator import index
from typing import TypeVar

from ..kernels.workers import run
from .cores import default_threads

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = 1024


class ThreadEngine:
    """Evaluates shards on ``n_threads`` threads and hands the results over in order.

    Parameters
    ----------
    n_threads : int, optional
        From 1 to 1024; `default_threads` when left out.

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
            n_threads = min(default_threads(), MAX_THREADS)
        try:
            self.n_threads = index(n_threads)
        except TypeError:
            raise TypeError(
                f"n_threads must be an integer or None, got {n_threads!r} "
                f"({type(n_threads).__name__})"
            ) from None
        if isinstance(n_threads, bool):
            raise TypeError(f"n_threads must be an integer or None, got {n_threads!r} (bool)")
        if not 1 <= self.n_threads <= MAX_THREADS:
            raise ValueError(f"n_threads must be from 1 to {MAX_THREADS}, got {n_threads}")

    def run(
        self,
        evaluate: Callable[[Item], Result],
        items: Iterable[Item],
        consume: Callable[[Result], object] = lambda done: None,
        most: int | None = None,
    ) -> None:
        """``consume(evaluate(item))`` for each item: evaluated on any thread, consumed in order.

        The calling thread evaluates too. Results are consumed one at a time, by any of the threads.
        Meanwhile BLAS is on one thread and numpy ignores floating-point errors. If anything raises
        (Ctrl-C too), evaluations under way are waited for, then it goes on.

        Parameters
        ----------
        evaluate, consume : callable
        items : iterable
        most : int, optional
            Maximum number of items that are evaluated, wait or are being consumed at once.
        """
        items = list(items)
        run(evaluate, items, consume, len(items) if most is None else most, self.n_threads)
