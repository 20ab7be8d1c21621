"""Rule that cuts images into shards and groups shards into leaves, and order of sums over them.

The rule depends on the network and the number of images l alone, not on the number of threads or
the machine's memory, so that sums are added in the same order, with the same bits, by any number of
threads or processes. For a network with n parameters and, per image, w multiply-adds and e elements
in all values, where a thread needs a block of b(m) bytes to train on m images at once:

1. **Images of a shard.** At most m, the largest power of two with m <= 256,
   m e <= max(2^21, 2 n) and b(m) <= 512 MiB; m = 1 if there is none. `Network.shard_size`.
2. **Number of shards.** s = ceil(l / m). If s <= 16, s is rounded up to a multiple of 4, so that 2
   or 4 threads have equal work; if a shard then has fewer than a = ceil(max(2^25, 2^10 n) / w)
   images, s is instead the largest even number with s a <= l. If then s < 2 and l is at least
   2 ceil(max(2^23, 2^7 n) / w), s = 2. Finally s is raised to ceil(l / m) if it is smaller. Shard k
   has the images floor(k l / s) to floor((k + 1) l / s) - 1. `Network.shards`.
3. **Leaves.** Their number is L = min(s, 64); at most 16 if n > 2^22, at most 8 if n > 2^25. Leaf i
   has the shards floor(i s / L) to floor((i + 1) s / L) - 1. `Network.leaves`.
4. **Sums.** The sums of a leaf, of xi and of its gradient, begin with those of its first shard, to
   which the other shards are added in order. Sums of leaves are added in a binary tree. Node (h, j)
   of it has the leaves j 2^h to min((j + 1) 2^h, L) - 1: node (0, j) is leaf j, and (h, j) is the
   sum of (h - 1, 2 j) and (h - 1, 2 j + 1), in this order, or equal to the first of them if there
   is no second. The root has the sum over all images. A run of leaves consists of nodes: those
   inside the run whose parent is not. `Objective.partial_sums` returns the sums of these nodes, and
   `combine` adds those of several runs. If s = 1, the threads share the passes over the only
   shard; the order of sums within it then differs from that within a shard among several.

Values are added in double precision, gradients in the network's dtype. The gradient of each shard
is divided by l before it is added, values are not: f = (sum of xi) / l + theta'theta / (2C). With
weights, xi is multiplied by them, and l is replaced by the total weight of the labelled samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from .immutable import Immutable

__all__ = [
    "Leaf", "Node", "PartialSum", "Sharding", "Tree", "combine", "cut_evenly", "max_waiting",
    "root_of",
]  # fmt: skip

# The rule is also in `kernels/_objective.pyx`, for C.
#
# Minimum work of a shard, in multiply-adds: (in total, per parameter of the network). Every shard
# has a fixed cost, a call from Python and the addition of its gradient. FOUR is used for several
# shards; TWO decides whether there are two instead of one, because with one a core may be idle.
FOUR = (1 << 25, 1 << 10)
TWO = (1 << 23, 1 << 7)
# maximum size of a shard: elements of its values (if more than twice the parameters), images, and
# bytes of the block of memory for training
MAX_ELEMENTS = 1 << 21
MAX_IMAGES = 256
MAX_BLOCK_BYTES = 512 << 20

# (n, maximum number of leaves) for networks with more than n parameters
MAX_LEAVES = ((1 << 25, 8), (1 << 22, 16), (-1, 64))

T = TypeVar("T")
Node = tuple[int, int]
Leaf = list[slice]


def cut_evenly(l: int, count: int) -> list[slice]:
    """Return 0, ..., l - 1 cut into ``count`` near-equal slices.

    Examples
    --------
    >>> from matconv.sharding import cut_evenly
    >>> cut_evenly(10, 3)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    return [slice(k * l // count, (k + 1) * l // count) for k in range(count)]


def root_of(leaves: int) -> Node:
    """Return the root of a tree: the node that has all leaves."""
    return (leaves - 1).bit_length(), 0


def max_waiting(leaves: int) -> int:
    """Return the maximum number of nodes that wait for their siblings while no leaf is under way.

    Leaves are taken in order. The nodes that wait are those that the run 0, ..., k - 1 of the leaves
    taken so far consists of.
    """
    return (leaves - 1).bit_length()


class Sharding(Immutable):
    """Rule of shards and leaves for one network.

    Parameters
    ----------
    shard_size : int
        Maximum number of images of a shard.
    four, two : int
        Minimum number of images of a shard for there to be several shards, or two.
    max_leaves : int
        Maximum number of leaves.

    Examples
    --------
    >>> from matconv.sharding import Sharding
    >>> rule = Sharding(shard_size=64, four=16, two=4, max_leaves=8)
    >>> [len(rule.shards(l)) for l in (7, 8, 64, 100, 1000, 2000)]
    [1, 2, 4, 4, 16, 32]
    >>> [len(leaf) for leaf in rule.leaves(1300)]
    [2, 3, 2, 3, 3, 2, 3, 3]
    """

    shard_size: int
    four: int
    two: int
    max_leaves: int = MAX_LEAVES[-1][1]

    @classmethod
    def of(
        cls,
        multiply_adds: int,
        elements: int,
        parameters: int,
        block_bytes: Callable[[int], float] = lambda images: 0,
    ) -> Sharding:
        """Return the rule for a network.

        Parameters
        ----------
        multiply_adds, elements : int
            Multiply-adds, and elements of all values, per image.
        parameters : int
        block_bytes : callable
            Function of a number of images that returns the size in bytes of the block that a thread
            needs to train on them at once.
        """
        size = min(max(MAX_ELEMENTS, 2 * parameters) // elements, MAX_IMAGES)
        size = 1 << max(size, 1).bit_length() - 1
        while size > 1 and block_bytes(size) > MAX_BLOCK_BYTES:
            size //= 2

        def min_images(work: int, per_parameter: int) -> int:
            return -(-max(work, per_parameter * parameters) // max(multiply_adds, 1))

        leaves = next(count for above, count in MAX_LEAVES if parameters > above)
        return cls(size, min_images(*FOUR), min_images(*TWO), leaves)

    def count(self, l: int) -> int:
        """Return the number of shards of l images."""
        needed = count = -(-l // self.shard_size)
        if needed <= 16:
            count = -(-needed // 4) * 4
            if l < count * self.four:
                count = l // self.four // 2 * 2
        if count < 2 and l >= 2 * self.two:
            count = 2
        return max(count, needed)

    def shards(self, l: int) -> list[slice]:
        """Return 0, ..., l - 1 as near-equal slices."""
        return cut_evenly(l, self.count(l))

    def leaves(self, l: int) -> list[Leaf]:
        """Return the shards of l images as near-equal runs."""
        shards = self.shards(l)
        return [shards[run] for run in cut_evenly(len(shards), min(len(shards), self.max_leaves))]


class Tree(Generic[T]):
    """Sums over a run of leaves, added in pairs as they become known.

    Several threads may put sums of different nodes at the same time; the thread that completes a
    pair adds it. There are no locks: threads share a dict and use only its atomic operations.

    Parameters
    ----------
    leaves : int
        Number of leaves of the whole tree.
    add : callable
        ``add(node, left, right)`` returns the sum of a node, given the sums of its two children,
        which are not used afterwards.
    first, last : int, optional
        The run consists of the leaves first to last - 1; of all leaves by default.

    Attributes
    ----------
    sums : dict
        By node (level, index): the sums of nodes whose parent is not inside the run. Complete when
        the sums of all leaves of the run have been put.

    Examples
    --------
    >>> from matconv.sharding import Tree
    >>> tree = Tree(5, lambda node, left, right: f"({left} + {right})")
    >>> for leaf in (4, 1, 0, 3, 2):
    ...     tree.put((0, leaf), f"x{leaf}")
    >>> tree.sums
    {(3, 0): '(((x0 + x1) + (x2 + x3)) + x4)'}
    """

    def __init__(
        self,
        leaves: int,
        add: Callable[[Node, T, T], T],
        first: int = 0,
        last: int | None = None,
    ) -> None:
        self._leaves = leaves
        self._add = add
        self._first = first
        self._last = leaves if last is None else last
        self.sums: dict[Node, T] = {}
        # by parent: the child whose sum is known, and the sum
        self._waiting: dict[Node, tuple[Node, T]] = {}

    def span(self, node: Node) -> tuple[int, int]:
        """Return (first, last) of a node, which has the leaves first to last - 1."""
        level, index = node
        return index << level, min((index + 1) << level, self._leaves)

    def parent(self, node: Node) -> Node | None:
        """Return the parent of a node; None if there is none inside the run."""
        level, index = node
        parent = level + 1, index >> 1
        first, last = self.span(parent)
        if first < self._first or last > self._last or self.span(node) == (0, self._leaves):
            return None
        return parent

    def nodes(self) -> list[Node]:
        """Return the nodes that the run consists of, in the order of their leaves."""
        found, leaf = [], self._first
        while leaf < self._last:
            node = 0, leaf
            while (parent := self.parent(node)) is not None:
                node = parent
            found.append(node)
            leaf = self.span(node)[1]
        return found

    def put(self, node: Node, sum: T) -> None:
        """Record the sum of a node, and add all pairs that it completes."""
        while (parent := self.parent(node)) is not None:
            if self.span(node) != self.span(parent):
                mine = node, sum
                other = self._waiting.setdefault(parent, mine)
                if other is mine:
                    return
                del self._waiting[parent]
                left, right = (mine, other) if node[1] % 2 == 0 else (other, mine)
                sum = self._add(parent, left[1], right[1])
                # no references to the children's sums remain while the parent waits
                del mine, other, left, right
            node = parent
        self.sums[node] = sum

    def remaining(self) -> dict[Node, T]:
        """Return, by node, all sums that are not part of the sum of another node."""
        return {**self.sums, **dict(self._waiting.values())}


@dataclass(frozen=True, eq=False)
class PartialSum:
    """Sums over the images of one node of the tree.

    Attributes
    ----------
    level, index : int
        The node, which has the leaves index 2^level to min((index + 1) 2^level, L) - 1.
    value : float
        The sum of xi.
    gradient : ndarray, shape (n,), or None
        The gradient of this sum, divided by the total weight of all images; by their number if
        they have no weights.
    """

    level: int
    index: int
    value: float
    gradient: np.ndarray | None


def _added(node: Node, left: PartialSum, right: PartialSum) -> PartialSum:
    gradient = None
    if left.gradient is not None and right.gradient is not None:
        gradient = left.gradient + right.gradient
    return PartialSum(*node, left.value + right.value, gradient)


def combine(sums: Iterable[PartialSum], leaves: int) -> list[PartialSum]:
    """Add all pairs among partial sums; return the remaining sums in the order of their images.

    Parameters
    ----------
    sums : iterable of PartialSum
        Results of `Objective.partial_sums` for one or several runs, or of `combine`, in any order.
        No two of them may have a leaf in common.
    leaves : int
        Number of leaves of all images.

    Returns
    -------
    sums : list of PartialSum
        A single one if ``sums`` has all leaves.

    Raises
    ------
    ValueError
        If the tree does not have one of the nodes, or two of the sums have a leaf in common.

    Examples
    --------
    >>> from matconv.sharding import PartialSum, combine
    >>> sums = [PartialSum(0, k, float(k), None) for k in (4, 2, 0, 3)]
    >>> [(x.level, x.index, x.value) for x in combine(sums, 5)]
    [(0, 0, 0.0), (1, 1, 5.0), (2, 1, 4.0)]
    >>> combine([*combine(sums, 5), PartialSum(0, 1, 1.0, None)], 5)
    [PartialSum(level=3, index=0, value=10.0, gradient=None)]
    """
    tree: Tree[PartialSum] = Tree(leaves, _added)
    given = {}
    for one in sums:
        node = one.level, one.index
        if one.level < 0 or one.index < 0 or one.index << one.level >= leaves:
            raise ValueError(f"combine: a tree of {leaves} leaves has no node {node}")
        if node in given:
            raise ValueError(f"combine: leaf {tree.span(node)[0]} is part of two of the sums")
        given[node] = one
    end = 0
    for node in sorted(given, key=tree.span):
        first, last = tree.span(node)
        if first < end:
            raise ValueError(f"combine: leaf {first} is part of two of the sums")
        end = last
    for node, one in given.items():
        tree.put(node, one)
    found = tree.remaining()
    return [
        replace(found[node], level=node[0], index=node[1]) for node in sorted(found, key=tree.span)
    ]
