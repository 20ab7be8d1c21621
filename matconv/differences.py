"""Comparison of a derivative with central differences.

The bound of a central difference of a function F over a step h along v is

    bound h / STEP + ROUNDING eps |F| / (h |A v|)

where A v is the derivative along v. The first term is for kinks and third derivatives, which add
errors that do not grow faster than h. The second is for the rounding errors of the two values of F,
each ROUNDING eps |F| at most, whose difference is divided by 2 h. The step is STEP; where rounding
errors do not permit this, it is the step at which both terms are equal, and their sum is a minimum.
To |F| the size of intermediate results is added. For losses it is 1 for each sample: probabilities
have this size also where the loss and its gradient are close to 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray

# Length of the step of central differences: short enough to cross few kinks, long enough for the
# rounding error of the difference, eps / STEP, to be small.
STEP = 1e-7
# the longest step, and the part of the bound due to rounding above which the step is not STEP
LONGEST_STEP = 1e-2
LONGER_ABOVE = 1e-3
# m rounding errors in a row, independent and eps / 2 at most, add up to about sqrt(m) eps / 2; sums
# are accumulated in blocks of fewer than m = 1024 terms.
ROUNDING = 16


def central(
    function: Callable[[Array], Any],
    x: Array,
    v: Array,
    product: Callable[[Array], Any],
    bound: float,
    scale: float = 0.0,
    intermediate: float = 0.0,
) -> tuple[float, float]:
    """Compare a derivative along v with central differences of a function.

    Parameters
    ----------
    function : callable
        F, whose values are scalars or arrays.
    x, v : array
    product : callable
        ``product(v)`` is A v, the derivative of F at x along v.
    bound : float
        Bound of the relative difference for the step STEP, without rounding errors.
    scale : float
        What the difference is relative to. By default |A v|, or the norm of the central difference
        if A v is 0.
    intermediate : float
        Norm of intermediate results of F, which have rounding errors like F.

    Returns
    -------
    difference, bound : float
    """
    size = float(np.linalg.norm(function(x))) + intermediate
    # the error of a central difference is error / step
    error = ROUNDING * float(np.finfo(x.dtype).eps) * size
    step = STEP
    while True:
        right, left = x + step * v, x - step * v
        expected = (function(right) - function(left)) / (2 * step)
        # x + step v and x - step v are rounded: this is the direction from one to the other
        Av = product((right - left) / (2 * step))
        unit = scale or float(np.linalg.norm(Av)) or float(np.linalg.norm(expected))
        if unit == 0:
            return 0.0, bound
        rounding = error / (step * unit)
        if step > STEP or not rounding > LONGER_ABOVE:
            difference = float(np.linalg.norm(Av - expected)) / unit
            return difference, bound * step / STEP + rounding
        step = min((error * STEP / (bound * unit)) ** 0.5, LONGEST_STEP)
