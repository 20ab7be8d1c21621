"""Evaluation of a program over the shards of a data set, with memory and threads.

`Network` and `Objective` define the computation on a shard; this module calls it with memory from
`matconv.buffers`, on several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import getpid
from typing import Any, TypeVar

import numpy as np

from .buffers import Buffers, Reservation
from .engines.threads import ThreadEngine
from .kernels.program import Program
from .kernels.sums import add, pause
from .sharding import Leaf, Node, Tree, max_waiting, root_of

Item = TypeVar("Item")

# Larger results have memory that is reused. The C library maps it anew each time (above 32 MiB at
# the latest, glibc), and to clear its pages takes about as long as to update theta.
LENT_BYTES = 1 << 25
Sum = tuple[float, np.ndarray | None]


class Evaluation:
    """Evaluation of one program, with the buffers that its calls reuse.

    The calling thread always gets memory. Helper threads take part as far as the budget of
    `matconv.buffers` allows; results do not depend on their number.

    Parameters
    ----------
    program : Program
    whole_bytes, shared_bytes : int
        Size in bytes of a thread's block for a shard that it evaluates alone, and for one whose
        passes are shared by the threads.
    """

    def __init__(self, program: Program, whole_bytes: int, shared_bytes: int) -> None:
        self.program = program
        self._prepared = Buffers(program.prepared_bytes)
        self._blocks = Buffers(whole_bytes)
        self._shared_blocks = Buffers(shared_bytes)
        # by number of threads: memory of the helper threads
        self._extra: dict[int, Buffers] = {}

    def prepare(self, theta: np.ndarray, backward: bool) -> np.ndarray:
        """Return prepared parameters, in a buffer that the caller owns."""
        buffer = self._prepared.take()
        self.program.prepare(theta, buffer, backward)
        return buffer

    @contextmanager
    def prepared(self, v: np.ndarray, backward: bool = False) -> Iterator[np.ndarray]:
        """Prepare a direction in the space of theta, as theta is prepared.

        Parameters
        ----------
        v : ndarray, shape (n,)
        backward : bool
            Whether also for the backward pass.

        Returns
        -------
        buffer : context manager of ndarray
            The memory is returned at its end.
        """
        buffer = self.prepare(v, backward)
        yield buffer
        # not reached after an error: then the buffer is freed
        self._prepared.give(buffer)

    def run(
        self,
        theta: np.ndarray,
        items: Sequence[Item],
        evaluate: Callable[..., object],
        n_threads: int,
        *,
        shared: bool,
        backward: bool = False,
        helper_bytes: int = 0,
        prepared: np.ndarray | None = None,
    ) -> None:
        """Call ``evaluate(item, prepared, block, **sharing)`` for each item.

        Parameters
        ----------
        theta : ndarray, shape (n,)
        items : sequence
        evaluate : callable
            Its arguments are the prepared parameters, a block of memory for the program's passes,
            and keyword arguments for these passes.
        n_threads : int
            Maximum number of threads.
        shared : bool
            Whether there is a single item whose passes are shared by the threads. Otherwise each
            item is evaluated by one thread.
        backward : bool
            Whether to prepare the parameters for the backward pass too.
        helper_bytes : int
            Bytes that a helper thread needs in addition to its block.
        prepared : ndarray of uint8, optional
            The prepared parameters, if the caller has them.
        """
        if not items:
            return
        given = prepared
        prepared = self.prepare(theta, backward) if given is None else given
        if shared:
            self._run_shared(items[0], evaluate, n_threads, prepared)
        else:
            self._run_each(items, evaluate, n_threads, prepared, helper_bytes)
        # not reached after an error: then the buffer is freed
        if given is None:
            self._prepared.give(prepared)

    def _run_shared(
        self,
        item: Any,
        evaluate: Callable[..., object],
        n_threads: int,
        prepared: np.ndarray,
    ) -> None:
        if n_threads == 1:
            block = self._shared_blocks.take()
            evaluate(item, prepared, block, shared=True)
        else:
            reservation = Reservation(n_threads - 1, self.program.extra_bytes(2))
            try:
                n_threads = 1 + reservation.count
                extras = self._extra.get(n_threads)
                if extras is None:
                    extras = Buffers(self.program.extra_bytes(n_threads))
                    self._extra[n_threads] = extras
                block, extra = self._shared_blocks.take(), extras.take()
                evaluate(item, prepared, block, n_threads=n_threads, shared=True, extra=extra)
                extras.give(extra)
            finally:
                reservation.release()
        self._shared_blocks.give(block)

    def _run_each(
        self,
        items: Sequence[Any],
        evaluate: Callable[..., object],
        n_threads: int,
        prepared: np.ndarray,
        helper_bytes: int,
    ) -> None:
        helpers = min(n_threads, len(items)) - 1
        reservation = Reservation(helpers, self._blocks.nbytes + helper_bytes)
        try:
            blocks = [self._blocks.take()]
            try:
                for _ in range(reservation.count):
                    blocks.append(self._blocks.take())
            except MemoryError:
                pass  # fewer helper threads

            def run(item: Any) -> None:
                # there are as many blocks as threads; pop and append are atomic
                block = blocks.pop()
                evaluate(item, prepared, block)
                blocks.append(block)

            ThreadEngine(len(blocks)).run(run, items)
        finally:
            reservation.release()
        # not reached after an error: then the buffers are freed
        for block in blocks:
            self._blocks.give(block)


class Vectors:
    """Vectors for the gradients of one call, at most ``count`` at the same time.

    Parameters
    ----------
    buffers : Buffers or None
        Memory of the vectors, except for those that the call returns. None: no gradients are
        computed.
    dtype : numpy.dtype
    count : int
    """

    def __init__(self, buffers: Buffers | None, dtype: np.dtype, count: int) -> None:
        self._buffers = buffers
        self._dtype = dtype
        self._count = count
        self._process = getpid()
        # list.pop and list.append are atomic
        self._free = [None] * count

    def wait(self) -> None:
        """Reserve a vector; wait while ``count`` of them are in use.

        Raises
        ------
        BaseException
            The error that has stopped the call, if it was stopped.
        RuntimeError
            If this process was forked during the call: the threads that use the other vectors are
            in the parent.
        """
        while self._buffers is not None:
            try:
                self._free.pop()
            except IndexError:
                if getpid() != self._process:
                    raise RuntimeError(
                        "matconv: a process forked during a computation cannot continue it; its "
                        "threads stayed in the parent"
                    ) from None
                pause()
            else:
                return

    def take(self, *, returned: bool) -> np.ndarray | None:
        """Return a vector that `wait` has reserved; if the call returns it, one that is not reused
        before the caller has dropped it."""
        if self._buffers is None:
            return None
        if returned and self._buffers.nbytes < LENT_BYTES:
            return np.empty(self._buffers.nbytes // self._dtype.itemsize, self._dtype)
        if returned:
            return self._buffers.lend(self._dtype)
        return self._buffers.take().view(self._dtype)

    def give(self, vector: np.ndarray) -> None:
        """Release a vector that `take` returned."""
        if self._buffers is not None:
            self._buffers.give(vector.view(np.uint8), self._count)
            self._free.append(None)


def sum_leaves(
    evaluation: Evaluation,
    theta: np.ndarray,
    leaves: list[Leaf],
    run: range,
    sum_shard: Callable[..., float],
    n_threads: int,
    gradients: Buffers | None = None,
    add_root: Callable[[np.ndarray, np.ndarray], object] = add,
    helper_bytes: int = 0,
    prepared: np.ndarray | None = None,
) -> dict[Node, Sum]:
    """Return sums over a run of leaves, added in the order that `matconv.sharding` defines.

    Parameters
    ----------
    evaluation : Evaluation
    theta : ndarray, shape (n,)
    leaves : list of Leaf
        All leaves of the data set.
    run : range
        Indices of the leaves to sum over.
    sum_shard : callable
        ``sum_shard(part, prepared, block, gradient, add, sharing)`` returns the value of a shard.
        It writes the gradient into ``gradient``, or adds it if ``add`` is True. ``sharing`` are
        keyword arguments of the program's passes.
    n_threads : int
    gradients : Buffers, optional
        Memory for gradients, or for several vectors of each shard. They are not computed without it.
    add_root : callable
        ``add_root(left, right)`` adds, in place, the two gradients whose sum is that over all
        leaves.
    helper_bytes : int
        Bytes that a helper thread needs in addition to its block and a gradient.
    prepared : ndarray of uint8, optional
        The prepared parameters, if the caller has them.

    Returns
    -------
    sums : dict
        Value and gradient of each node of the run; without ``gradients`` the gradient is None.
    """
    root = root_of(len(leaves))

    def add_pair(node: Node, left: Sum, right: Sum) -> Sum:
        if left[1] is not None and right[1] is not None:
            (add_root if node == root else add)(left[1], right[1])
            vectors.give(right[1])
        return left[0] + right[0], left[1]

    tree = Tree(len(leaves), add_pair, run.start, run.stop)
    nodes = tree.nodes()
    # the vector of a node's first leaf becomes that of the node, which is returned
    returned = {tree.span(node)[0] for node in nodes}
    count = min(n_threads, len(run)) + max_waiting(len(leaves)) + len(nodes) - 1
    vectors = Vectors(gradients, theta.dtype, count)
    # next() of an iterator over a range is atomic
    order = iter(run)

    def evaluate(_: int, prepared: np.ndarray, block: np.ndarray, **sharing: Any) -> None:
        # before a leaf is taken, so that every leaf under way has a vector
        vectors.wait()
        leaf = next(order)
        gradient = vectors.take(returned=leaf in returned)
        value = 0.0
        for k, part in enumerate(leaves[leaf]):
            value += sum_shard(part, prepared, block, gradient, k > 0, sharing)
        tree.put((0, leaf), (value, gradient))

    evaluation.run(
        theta,
        run,
        evaluate,
        n_threads,
        shared=len(leaves) == 1 and len(leaves[0]) == 1,
        backward=gradients is not None,
        helper_bytes=(gradients.nbytes if gradients is not None else 0) + helper_bytes,
        prepared=prepared,
    )
    return tree.sums
