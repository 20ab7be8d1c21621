"""Time two sides in turns, with medians and quartiles.

Clock speed, other processes and the state of the caches change over seconds, so two sides that are
timed one after the other are timed under different conditions.  Therefore samples are taken in
turns, A B A B ..., a ratio is formed in each pair, and the result is the median of those ratios,
with its quartiles.
"""

import math
import statistics
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Order statistics of samples.

    Examples
    --------
    >>> Spread.of([3.0, 1.0, 2.0])
    Spread(least=1.0, lower=1.5, median=2.0, upper=2.5, n=3)
    """

    least: float
    lower: float
    median: float
    upper: float
    n: int

    @classmethod
    def of(cls, samples):
        """Return the spread of one or more numbers; quartiles interpolate between samples."""
        ordered = sorted(samples)
        if not ordered:
            raise ValueError("Spread.of: no samples")
        lower, median, upper = (
            statistics.quantiles(ordered, n=4, method="inclusive")
            if len(ordered) > 1
            else ordered * 3
        )
        return cls(ordered[0], lower, median, upper, len(ordered))


@dataclass(frozen=True)
class Pairing:
    """Result of `pair`: seconds per call of both sides, and the ratios b / a of the pairs.

    A ratio above 1 means that side a is faster.
    """

    a: Spread
    b: Spread
    ratio: Spread


def _once(action):
    """Return the seconds of a call, after another one that is not timed."""
    action()
    start = time.perf_counter()
    action()
    return max(time.perf_counter() - start, 1e-9)


def _fewer(repeats, calls, once, budget, least=3):
    """Return how many repeats fit into the budget, from `least` to `repeats`.

    A sample is `calls` calls after one that is not timed.

    Examples
    --------
    >>> _fewer(9, [2, 1], [0.1, 0.2], budget=10), _fewer(9, [2, 1], [0.1, 0.2], budget=3.6)
    (9, 5)
    >>> _fewer(9, [1, 1], [5.0, 5.0], budget=3.6)
    3
    """
    one = sum((n + 1) * seconds for n, seconds in zip(calls, once, strict=True))
    return min(repeats, max(least, int(min(repeats, budget / one))))


def rest(longest=0.3, step=0.005):
    """Sleep until this process does not use the processor, or for `longest` seconds.

    The threads of a pool spin for a while after their work: OpenMP's for some milliseconds,
    OpenBLAS's for a tenth of a second. They would take time from the other side, and be slower than
    usual if they did not spin. So each side waits until the threads of the other one sleep.
    """
    end = time.perf_counter() + longest
    while time.perf_counter() < end:
        start, used = time.perf_counter(), time.process_time()
        time.sleep(step)
        if time.process_time() - used < 0.1 * (time.perf_counter() - start):
            return


def _sample(action, context, calls):
    """Return seconds per call of a sample, in `context`, after a rest and an untimed call.

    The untimed call wakes the side's threads and fills the caches with its operands.
    """
    with context():
        rest()
        action()
        start = time.perf_counter()
        for _ in range(calls):
            action()
        return (time.perf_counter() - start) / calls


def pair(a, b, repeats=15, seconds=0.02, budget=math.inf, least=3):
    """Time two sides in turns.

    Parameters
    ----------
    a, b : (callable, context)
        A function without arguments, and a function that returns a context manager for its calls
        (number of threads); entering it is not timed.
    repeats : int
        Samples of each side.
    seconds : float
        Approximate time of a sample; short calls are repeated.
    budget : float
        Approximate time of all samples: there are fewer repeats of long calls.
    least : int
        Minimum number of repeats, unless `repeats` is smaller.

    Returns
    -------
    Pairing

    Examples
    --------
    >>> from contextlib import nullcontext
    >>> side = (lambda: sum(range(1000)), nullcontext)
    >>> pair(side, side, repeats=3, seconds=1e-4).ratio.n
    3
    """
    once = []
    for action, context in (a, b):
        with context():
            rest()
            once.append(_once(action))
    calls = [max(1, math.ceil(seconds / each)) for each in once]
    samples = ([], [])
    for _ in range(_fewer(repeats, calls, once, budget, least)):
        for (action, context), n, into in zip((a, b), calls, samples, strict=True):
            into.append(_sample(action, context, n))
    return paired(*samples)


def paired(a, b):
    """Return the `Pairing` of samples that were taken in turns.

    Examples
    --------
    >>> paired([1.0, 2.0, 1.0], [2.0, 4.0, 3.0]).ratio.median
    2.0
    """
    ratios = [second / first for first, second in zip(a, b, strict=True)]
    return Pairing(Spread.of(a), Spread.of(b), Spread.of(ratios))


def geometric_mean(values):
    """Return the geometric mean.

    Examples
    --------
    >>> round(geometric_mean([0.5, 8.0]), 12)
    2.0
    """
    values = list(values)
    if not values:
        raise ValueError("geometric_mean: no values")
    return math.exp(math.fsum(map(math.log, values)) / len(values))
