"""Evaluation of items on a thread pool; the kernels run without the GIL."""

from collections.abc import Callable, Iterable
from operator import index
from typing import TypeVar

from ..kernels.workers import run
from .cores import default_threads

Item = TypeVar("Item")

MAX_THREADS = 1024


class ThreadEngine:
    """Evaluates items on several threads: the calling one and helpers from a thread pool.

    The process has one pool, which all engines share.

    Parameters
    ----------
    n_threads : int, optional
        Number of threads, from 1 to 1024; `default_threads` by default.

    Raises
    ------
    TypeError, ValueError
        If ``n_threads`` is not such an integer.

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
        """Call ``evaluate(item)`` for each item, each on one of the threads.

        Items are started in order. During the call BLAS uses one thread and NumPy ignores
        floating-point errors. If an item or a signal handler (Ctrl-C) raises an exception, no
        further item is started; those under way are stopped or waited for. Then the exception of
        the first item that failed is raised.

        Parameters
        ----------
        evaluate : callable
            Its result is ignored.
        items : iterable

        Raises
        ------
        MemoryError
            If there is no memory for the buffers of BLAS.
        """
        run(evaluate, list(items), self.n_threads)
