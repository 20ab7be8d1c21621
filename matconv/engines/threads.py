"""Evaluation of shards on a pool of threads; the kernels run without the GIL."""

from collections.abc import Callable, Iterable
from operator import index
from typing import TypeVar

from ..kernels.workers import run
from .cores import default_threads

Item = TypeVar("Item")

MAX_THREADS = 1024


class ThreadEngine:
    """Evaluates items on ``n_threads`` threads: the calling one and helpers of a common pool.

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
    >>> squares = [0] * 5
    >>> def square(k):
    ...     squares[k] = k * k
    >>> ThreadEngine(2).run(square, range(5))
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

    def run(self, evaluate: Callable[[Item], object], items: Iterable[Item]) -> None:
        """Call ``evaluate(item)`` for each item, on any thread, in ascending order.

        Meanwhile BLAS is on one thread and numpy ignores floating-point errors. If anything raises
        (Ctrl-C too), no further item begins; what is under way stops or is waited for. Then the
        error of the first item that failed goes on.

        Parameters
        ----------
        evaluate : callable
            What it returns is dropped.
        items : iterable

        Raises
        ------
        MemoryError
            There is no memory for BLAS.
        """
        run(evaluate, list(items), self.n_threads)


def shards(l: int, count: int) -> list[slice]:
    """0, ..., l - 1 cut into ``count`` near-equal slices.

    Examples
    --------
    >>> from matconv.engines.threads import shards
    >>> shards(10, 3)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    return [slice(k * l // count, (k + 1) * l // count) for k in range(count)]
