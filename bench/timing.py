"""Time two things fairly: interleaved, repeated, with medians and their spread.

Clock speed, other processes and the state of the caches drift over seconds.  Two sides that are
timed one after the other see different machines; two sides that take turns see the same one.  So
samples are taken as A B A B ..., a ratio is formed inside each pair, and what is reported is the
median of those ratios, with its quartiles.
"""

import math
import statistics
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Order statistics of some samples.

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
        """The spread of at least one number; quartiles interpolate between samples."""
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
    """Result of `pair`: seconds per call of both sides, and their ratio b / a pair by pair.

    A ratio over 1 means that side a is the faster one.
    """

    a: Spread
    b: Spread
    ratio: Spread


def _once(action):
    """Seconds of a call, after one that warms up."""
    action()
    start = time.perf_counter()
    action()
    return max(time.perf_counter() - start, 1e-9)


def _fewer(repeats, calls, once, budget, least=3):
    """As many repeats as fit into the budget: from `least` to `repeats`.

    A sample is `calls` calls and one before them that is not counted.

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
    """Sleep until this process uses no processor any more, or for `longest` seconds.

    The workers of a thread pool spin for a while when their work is done: OpenMP's for some
    milliseconds, OpenBLAS's for a tenth of a second. Left alone they would take the cores away
    from the side whose turn is next; told not to spin they would be slower than their users know
    them. So each side waits until the other's have gone to sleep.
    """
    end = time.perf_counter() + longest
    while time.perf_counter() < end:
        start, used = time.perf_counter(), time.process_time()
        time.sleep(step)
        if time.process_time() - used < 0.1 * (time.perf_counter() - start):
            return


def _sample(action, context, calls):
    """Seconds per call of one sample, taken inside `context` after a rest and one untimed call.

    The untimed call wakes this side's own threads and fills the caches with its operands.
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
        What to call without arguments, and a function that returns a context manager to hold
        meanwhile (thread counts); entering it is not timed.
    repeats : int
        Samples of each side.
    seconds : float
        About how long one sample lasts; short calls are repeated to fill it.
    budget : float
        About how many seconds all samples may take together: where calls are long there are
        fewer repeats.
    least : int
        But that many at least, unless `repeats` is less.

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
    """`Pairing` of samples that were taken in turns.

    Examples
    --------
    >>> paired([1.0, 2.0, 1.0], [2.0, 4.0, 3.0]).ratio.median
    2.0
    """
    ratios = [second / first for first, second in zip(a, b, strict=True)]
    return Pairing(Spread.of(a), Spread.of(b), Spread.of(ratios))


def geometric_mean(values):
    """The mean for ratios: its logarithm is the mean logarithm.

    Examples
    --------
    >>> round(geometric_mean([0.5, 8.0]), 12)
    2.0
    """
    values = list(values)
    if not values:
        raise ValueError("geometric_mean: no values")
    return math.exp(math.fsum(map(math.log, values)) / len(values))
