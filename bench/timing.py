"""Time two sides fairly: in turns, repeatedly, with medians and their spread.

Clock speed, other processes and the state of the caches drift over seconds.  Two sides that are
timed one after the other see different machines; two sides that take turns see the same one.  So
samples are taken as A B A B ..., a ratio is formed inside each pair, and the result is the median
of those ratios with its quartiles.
"""

import math
import statistics
import time


def spread(samples):
    """Order statistics of at least one sample; quartiles interpolate between samples.

    Examples
    --------
    >>> spread([3.0, 1.0, 2.0])
    {'minimum': 1.0, 'lower': 1.5, 'median': 2.0, 'upper': 2.5, 'n': 3}
    """
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("spread: no samples")
    quartiles = ordered * 3
    if len(ordered) > 1:
        quartiles = statistics.quantiles(ordered, n=4, method="inclusive")
    names = ("minimum", "lower", "median", "upper", "n")
    return dict(zip(names, (ordered[0], *quartiles, len(ordered)), strict=True))


def compared(mine, other):
    """Part of a record: spreads of both sides, of the ratios other / mine, of mine - other.

    Examples
    --------
    >>> compared([1.0, 2.0, 1.0], [2.0, 4.0, 3.0])["ratio"]["median"]
    2.0
    """
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    excess = [a - b for a, b in zip(mine, other, strict=True)]
    spreads = (spread(samples) for samples in (mine, other, ratios, excess))
    return dict(zip(("mine", "other", "ratio", "excess"), spreads, strict=True))


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


def rest(longest=0.3, step=0.005):
    """Sleep until this process uses no processor any more, or for `longest` seconds.

    The workers of a thread pool spin for a while when their work is done: OpenMP's for some
    milliseconds, OpenBLAS's for a tenth of a second.  Left alone they would take the cores away
    from the other side; told not to spin they would be slower than their users know them.
    """
    end = time.perf_counter() + longest
    while time.perf_counter() < end:
        start, used = time.perf_counter(), time.process_time()
        time.sleep(step)
        if time.process_time() - used < 0.1 * (time.perf_counter() - start):
            return


def _sample(action, context, calls, warm=True):
    """Seconds per call of one sample, inside `context` after a rest and an untimed call.

    The untimed call wakes this side's own threads and fills the caches with its operands.
    """
    with context():
        rest()
        if warm:
            action()
        start = time.perf_counter()
        for _ in range(calls):
            action()
        return max((time.perf_counter() - start) / calls, 1e-9)


def n_samples(once, calls, warm, repeats, budget, minimum=3):
    """Number of samples of each side that fit into the budget: from `minimum` to `repeats`.

    >>> n_samples([0.1, 0.2], [2, 1], [True, True], repeats=9, budget=3.6)
    5
    """
    one = sum((n + w) * t for n, w, t in zip(calls, warm, once, strict=True))
    return min(repeats, max(minimum, int(min(repeats, budget / one))))


def pair(a, b, repeats=15, seconds=0.02, budget=math.inf, minimum=3):
    """Time two sides in turns.

    Parameters
    ----------
    a, b : (callable, context)
        What to call without arguments, and a function that returns a context manager to hold
        meanwhile (thread counts); entering it is not timed.
    repeats : int
        Samples of each side.
    seconds : float
        Approximate duration of a sample: short calls are repeated to fill it.
    budget : float
        Approximate seconds of all samples together: where calls are long there are fewer samples.
    minimum : int
        Samples of each side whatever the budget, unless `repeats` is less.

    Returns
    -------
    dict
        As from `compared`, in seconds per call.

    Examples
    --------
    >>> from contextlib import nullcontext
    >>> side = (lambda: sum(range(1000)), nullcontext)
    >>> pair(side, side, repeats=3, seconds=1e-4)["ratio"]["n"]
    3
    """
    once = [_sample(*side, calls=1) for side in (a, b)]
    calls = [max(1, math.ceil(seconds / t)) for t in once]
    warm = [t < 0.5 for t in once]  # a longer call hardly notices how it began
    samples = ([], [])
    for _ in range(n_samples(once, calls, warm, repeats, budget, minimum)):
        for (action, context), n, w, into in zip((a, b), calls, warm, samples, strict=True):
            into.append(_sample(action, context, n, w))
    return compared(*samples)
