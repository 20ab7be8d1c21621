"""How many images are evaluated at once: of the network and their number alone.

Never of the number of threads, so that sums are added in the same order, with the same bits, on
any number of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from .engines.threads import shards

# A shard has to pay for what each one costs whatever its size: Python, the transforms of the
# filters, one addition of its gradient. So four shards have at least this many multiply-adds
# each, also per parameter of the network; two, which is better than an idle core, ...
FOUR = (1 << 25, 1 << 10)
TWO = (1 << 23, 1 << 7)
# ... and any has at most as many images as keep this many numbers, or twice the parameters.
MOST_NUMBERS = 1 << 21
MOST_IMAGES = 256


@dataclass(frozen=True)
class Sharding:
    """The rule for one network.

    Parameters
    ----------
    most : int
        Images of a shard, at most.
    four, two : int
        Images of a shard, at least, where there are four or two of them.

    Examples
    --------
    >>> rule = Sharding(most=64, four=16, two=4)
    >>> [len(rule.cut(l)) for l in (7, 8, 64, 100, 1000, 2000)]
    [1, 2, 4, 4, 16, 32]
    """

    most: int
    four: int
    two: int

    @classmethod
    def of(cls, multiply_adds: int, numbers: int, parameters: int) -> Sharding:
        """For a network with so many multiply-adds and numbers per image, and parameters."""
        most = min(max(MOST_NUMBERS, 2 * parameters) // numbers, MOST_IMAGES)
        most = 1 << max(most, 1).bit_length() - 1

        def least(work: int, per_parameter: int) -> int:
            return -(-max(work, per_parameter * parameters) // max(multiply_adds, 1))

        return cls(most, least(*FOUR), least(*TWO))

    def cut(self, l: int) -> list[slice]:
        """0, ..., l - 1 as near-equal slices."""
        needed = -(-l // self.most)
        count = needed
        if needed <= 16:  # few: the same work for two or four threads
            count = -(-needed // 4) * 4
            if l < count * self.four:
                count = l // self.four // 2 * 2
        if count < 2 and l >= 2 * self.two:
            count = 2
        return shards(l, max(count, needed))
