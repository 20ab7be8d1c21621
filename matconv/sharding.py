"""The rule that cuts images into shards and shards into leaves, and the order of sums over them.

It depends on the network and the number of images l alone, never on the number of threads or on
the machine's memory, so that sums are added in the same order, with the same bits, on any number of
threads or processes. For a network with n parameters, w multiply-adds and e elements in all its
values per image, where a thread that evaluates m images needs a block of b(m) bytes for training:

1. **Images of a shard.** At most m of them, the largest power of two with m <= 256,
   m e <= max(2^21, 2 n) and b(m) <= 512 MiB; m = 1 where there is none. `Network.shard_size`.
2. **Number of shards.** s = ceil(l / m). If s <= 16, s is rounded up to a multiple of 4, so that 2
   or 4 threads have equal work; if that leaves a shard fewer than a = ceil(max(2^25, 2^10 n) / w)
   images, s is the largest even number with s a <= l instead. If now s < 2 and l is at least
   2 ceil(max(2^23, 2^7 n) / w), s = 2. It is never less than ceil(l / m). Shard k has the images
   floor(k l / s) to floor((k + 1) l / s) - 1. `Network.shards`.
3. **Leaves.** There are L = min(s, 64) of them, at most 16 where n > 2^22, 8 where n > 2^25. Leaf i
   has the shards floor(i s / L) to floor((i + 1) s / L) - 1. `Network.leaves`.
4. **Sums.** The sums of a leaf, of xi and of its gradient, begin with those of its first shard; the
   other shards are added in order. Node (h, j) of the tree has the leaves j 2^h to
   min((j + 1) 2^h, L) - 1: node (0, j) is leaf j, and (h, j) is the sum of (h - 1, 2 j) and
   (h - 1, 2 j + 1), in this order, or its only child where there is no second one. The sum over all
   images is that of the highest node. A run of leaves is a set of nodes: those inside the run whose
   parent is not. `Objective.partial_sums` returns these, and `combine` adds those of several runs.
   If s = 1 the passes over the only shard are shared by the threads, which is another order of
   sums within the shard than that of one among several.

Values are added in double precision, gradients in the network's dtype. The gradient of each shard
is divided by l before it is added, values are not: f = (sum of xi) / l + theta'theta / (2C).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

__all__ = [
    "Leaf", "Node", "PartialSum", "Sharding", "Tree", "combine", "cut_evenly", "max_waiting",
    "root_of",
]  # fmt: skip

# A shard has to be worth what each one costs whatever its size: Python, one addition of its
# gradient. So four shards have at least this many multiply-adds each, also per parameter of the
# network; two, which is better than an idle core, ...
FOUR = (1 << 25, 1 << 10)
TWO = (1 << 23, 1 << 7)
# ... and any has at most as many images as keep so many elements, or twice the parameters,
MAX_ELEMENTS = 1 << 21
MAX_IMAGES = 256
# and a block of memory for training of so many bytes.
MAX_BLOCK_BYTES = 512 << 20

# maximum number of leaves for networks with more than so many parameters
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
    """Return the node that has all leaves."""
    return (leaves - 1).bit_length(), 0


def max_waiting(leaves: int) -> int:
    """Return the maximum number of nodes that wait for their siblings while no leaf is under way.

    Leaves are taken in order: these are the nodes that 0, ..., k - 1 consist of, for any k.
    """
    return (leaves - 1).bit_length()


@dataclass(frozen=True)
class Sharding:
    """The rule for one network.

    Parameters
    ----------
    shard_size : int
        Maximum number of images of a shard.
    four, two : int
        Minimum number of images of a shard where there are four or two of them.
    max_leaves : int

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
            Per image; elements of all values.
        parameters : int
        block_bytes : callable
            Of a number of images: bytes of the block of memory that a thread needs for so many.
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
    """The sums of a run of leaves, added in pairs as they become known.

    Several threads may put sums of different nodes at the same time: the one that completes a pair
    adds it. There are no locks: what threads share are atomic operations of a dict.

    Parameters
    ----------
    leaves : int
        Number of leaves of the whole tree.
    add : callable
        ``add(node, left, right)`` returns the sum of a node from those of its two children, which
        are not used again.
    first, last : int, optional
        The run: the leaves first to last - 1; all when left out.

    Attributes
    ----------
    sums : dict
        By node (level, index): the sums whose parent is not inside the run. Complete once those of
        all leaves of the run have been put.

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
        """Return (first, last): a node has the leaves first to last - 1."""
        level, index = node
        return index << level, min((index + 1) << level, self._leaves)

    def parent(self, node: Node) -> Node | None:
        """Return the parent of a node; None where it is not inside the run, or there is none."""
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
        """Add the sum of a node, and those of all pairs that it completes."""
        while (parent := self.parent(node)) is not None:
            if self.span(node) != self.span(parent):
                mine = node, sum
                other = self._waiting.setdefault(parent, mine)
                if other is mine:
                    return
                del self._waiting[parent]
                left, right = (mine, other) if node[1] % 2 == 0 else (other, mine)
                sum = self._add(parent, left[1], right[1])
                # the right one's memory is free
                del mine, other, left, right
            node = parent
        self.sums[node] = sum

    def remaining(self) -> dict[Node, T]:
        """Return all sums by node that are not part of another one."""
        return {**self.sums, **dict(self._waiting.values())}


@dataclass(frozen=True, eq=False)
class PartialSum:
    """The sums over the images of one node of the tree.

    Attributes
    ----------
    level, index : int
        The node: the leaves index 2^level to min((index + 1) 2^level, L) - 1.
    value : float
        The sum of xi.
    gradient : ndarray, shape (n,), or None
        Its gradient, divided by the number of all images.
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
    """Return partial sums with all pairs added, in the order of their images.

    Parameters
    ----------
    sums : iterable of PartialSum
        As `Objective.partial_sums` returns them, also of several runs, in any order; or returned by
        another `combine`. No two of them have a leaf in common.
    leaves : int
        Number of leaves of all images.

    Returns
    -------
    sums : list of PartialSum
        A single one where ``sums`` has all leaves.

    Raises
    ------
    ValueError
        A node that the tree does not have, or a leaf that two of the sums have in common.

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
