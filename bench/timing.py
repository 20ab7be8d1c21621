"""Time two sides fairly: in turns, repeatedly, with medians and quartiles.

Clock speed, other processes and the state of the caches drift over seconds.  So samples are taken
as A B A B ..., a ratio is formed inside each pair, and the result is the median of the ratios.
"""

import math
import statistics
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """At most `repeats` samples of each side, 3 or what fits into `budget` seconds.

    A sample lasts about `seconds`: short calls are repeated.
    """

    repeats: int = 15
    seconds: float = 0.02
    budget: float = 10.0
    quick: bool = False


def spread(samples):
    """Median, quartiles and number of samples; quartiles interpolate between samples."""
    quartiles = list(samples) * 3
    if len(samples) > 1:
        quartiles = statistics.quantiles(samples, n=4, method="inclusive")
    return dict(zip(("lower", "median", "upper", "n"), (*quartiles, len(samples)), strict=True))


def compared(mine, other):
    """Part of a record: spreads of both sides and of the ratios other / mine."""
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    return {"mine": spread(mine), "other": spread(other), "ratio": spread(ratios)}


def rest(longest=0.3, step=0.005):
    """Sleep until no thread of a pool spins any more, or for `longest` seconds.

    OpenBLAS's spin for a tenth of a second, and would take the cores away from the other side.
    """
    end = time.perf_counter() + longest
    while time.perf_counter() < end:
        start, used = time.perf_counter(), time.process_time()
        time.sleep(step)
        if time.process_time() - used < 0.1 * (time.perf_counter() - start):
            return


def _sample(action, context, calls, warm=True):
    """Seconds per call after a rest and an untimed call, which wakes threads and fills caches."""
    with context():
        rest()
        if warm:
            action()
        start = time.perf_counter()
        for _ in range(calls):
            action()
        return max((time.perf_counter() - start) / calls, 1e-9)


def pair(a, b, effort):
    """Seconds per call of two sides in turns; a side is a function and a maker of its context."""
    return turns((a, b), effort)


def turns(sides, effort):
    """Seconds per call of each of some sides in turns; see `pair`."""
    once = [_sample(*side, calls=1) for side in sides]
    calls = [max(1, math.ceil(effort.seconds / t)) for t in once]
    warm = [t < 0.5 for t in once]  # a longer call hardly notices how it began
    one = sum((n + w) * t for n, w, t in zip(calls, warm, once, strict=True))
    samples = tuple([] for _ in sides)
    for _ in range(min(effort.repeats, max(3, int(effort.budget / one)))):
        for side, n, w, into in zip(sides, calls, warm, samples, strict=True):
            into.append(_sample(*side, n, w))
    return samples
