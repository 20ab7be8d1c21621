"""Activations and their gradients in NumPy, and elements at which they differ.

Another activation needs its formulas here: a branch of `activated` and of `slope`, and of `kinks` if
it has some. `EXAMPLES`, which tests of networks use, follows the lists of the library.
"""

import numpy as np
from scipy.special import erfc

from matconv.activations import (
    ACTIVATIONS,
    FUNCTIONS,
    Clip,
    HardSigmoid,
    LeakyReLU,
    activation_code,
)

NONE, RELU, LEAKY_RELU, CLIP, SIGMOID, TANH, SOFTPLUS, ELU, HARD_SIGMOID, SILU, HARD_SWISH, GELU = (
    range(12)
)
USES_ALPHA, USES_BETA = (LEAKY_RELU, CLIP, ELU, HARD_SIGMOID), (CLIP, HARD_SIGMOID)
# sigma' is computed from s, not from sigma(s)
NEEDS_INPUT = (SILU, HARD_SWISH, GELU)

# (code, alpha, beta); NaN for a number that the code does not use. Exact, bit for bit
ALL = (
    (NONE, np.nan, np.nan),
    (RELU, np.nan, np.nan),
    (LEAKY_RELU, 0.1, np.nan),
    (LEAKY_RELU, 3.0, np.nan),
    (CLIP, -0.3, 0.7),
    (CLIP, 0.0, np.inf),
    (CLIP, -np.inf, 0.0),
    (CLIP, 0.5, 0.5),
)
# rounded in the course of the computation
ROUNDED = (
    (SIGMOID, np.nan, np.nan),
    (TANH, np.nan, np.nan),
    (SOFTPLUS, np.nan, np.nan),
    (ELU, 1.0, np.nan),
    (ELU, 0.3, np.nan),
    (HARD_SIGMOID, 1 / 6, 0.5),
    (HARD_SIGMOID, 0.2, 0.5),
    (SILU, np.nan, np.nan),
    (HARD_SWISH, np.nan, np.nan),
    (GELU, np.nan, np.nan),
)

_ARGUMENTS = {
    "LeakyReLU": ({"slope": 0.25},),
    "Clip": ({"lo": -0.5, "hi": 2.0}, {"lo": 0.0, "hi": 6.0}),
    "ELU": ({"alpha": 0.5},),
}
# activations of layers: all names, and instances of all classes
EXAMPLES = (
    *FUNCTIONS,
    *(
        kind(**arguments)
        for name, kind in ACTIVATIONS.items()
        for arguments in _ARGUMENTS.get(name, ({},))
    ),
)
# those whose results are exact on integers
EXACT = (None, "relu", LeakyReLU(0.25), LeakyReLU(2.0), Clip(-8, 20), Clip(0), HardSigmoid(0.25))


def code(activation):
    """Return (code, alpha, beta) of a layer's activation for the functions of this module."""
    return activation_code(activation)


def in_dtype(alpha, beta, dtype):
    """Return the two numbers in a dtype."""
    with np.errstate(over="ignore"):
        return np.dtype(dtype).type(alpha), np.dtype(dtype).type(beta)


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _normal_below(x):
    return erfc((-x / np.sqrt(np.longdouble(2))).astype(np.float64)) / np.longdouble(2)


def _hard_sigmoid(x, alpha, beta):
    u = alpha * x + beta
    u = np.where(u <= 0, 0, u)
    return np.where(u >= 1, 1, u)


def activated(S, code, alpha, beta):
    """Return sigma(S), rounded once if the code is in `ROUNDED`; NaN remains NaN."""
    alpha, beta = in_dtype(alpha, beta, S.dtype)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        if code == NONE:
            return S.copy()
        if code == RELU:
            return np.where(S <= 0, S.dtype.type(0), S)
        if code == LEAKY_RELU:
            return np.where(S <= 0, alpha * S, S)
        if code == CLIP:
            above = np.where(S <= alpha, alpha, S)
            return np.where(above >= beta, beta, above)
        x = S.astype(np.longdouble)
        # an infinite factor of 0
        far = np.maximum(x, -1e5)
        if code == SIGMOID:
            z = _sigmoid(x)
        elif code == TANH:
            z = np.tanh(x)
        elif code == SOFTPLUS:
            z = np.where(x > 0, x, 0) + np.log1p(np.exp(-np.abs(x)))
        elif code == ELU:
            z = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
        elif code == HARD_SIGMOID:
            z = _hard_sigmoid(x, np.longdouble(alpha), np.longdouble(beta))
        elif code == SILU:
            z = far * _sigmoid(x)
        elif code == HARD_SWISH:
            z = far * _hard_sigmoid(x, 1 / np.longdouble(6), np.longdouble(0.5))
        elif code == GELU:
            z = far * _normal_below(x)
        else:
            raise AssertionError(f"code {code}")
        return z.astype(S.dtype)


def slope(S, code, alpha, beta):
    """Return sigma'(S) of a code in `ROUNDED` in extended precision."""
    alpha, beta = in_dtype(alpha, beta, S.dtype)
    x = S.astype(np.longdouble)
    near = np.clip(x, -1e5, 1e5)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        if code == SIGMOID:
            return _sigmoid(x) * _sigmoid(-x)
        if code == TANH:
            return 1 / np.cosh(x) ** 2
        if code == SOFTPLUS:
            return _sigmoid(x)
        if code == ELU:
            return np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))
        if code == HARD_SIGMOID:
            u = alpha * x + beta
            return np.where((u <= 0) | (u >= 1), 0, np.longdouble(alpha))
        if code == SILU:
            return _sigmoid(x) * (1 + near * _sigmoid(-x))
        if code == HARD_SWISH:
            return np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + np.longdouble(0.5)))
        if code == GELU:
            density = np.exp(-near * near / 2) / np.sqrt(2 * np.longdouble(np.pi))
            return _normal_below(x) + near * density
    raise AssertionError(f"code {code}")


def gradient(dZ, Z, code, alpha, beta, S=None):
    """Return sigma'(S) dZ: with the same bits as the kernels from Z, or for `ROUNDED` from S."""
    alpha, beta = in_dtype(alpha, beta, Z.dtype)
    zero = Z.dtype.type(0)
    with np.errstate(invalid="ignore", over="ignore"):
        if code == RELU:
            return np.where(Z <= 0, zero, dZ)
        if code == LEAKY_RELU:
            return np.where(Z <= 0, alpha * dZ, dZ)
        if code == CLIP:
            return np.where((Z <= alpha) | (Z >= beta), zero, dZ)
        if code == NONE:
            return dZ.copy()
        return (slope(S, code, alpha, beta) * dZ).astype(dZ.dtype)


def kinks(S, Z, code, alpha, beta):
    """Return on which of its pieces each element is: arrays that are equal between two kinks."""
    if code in (RELU, LEAKY_RELU, ELU):
        return [Z <= 0]
    if code == CLIP:
        return [Z <= alpha, Z >= beta]
    if code == HARD_SIGMOID:
        return [Z <= 0, Z >= 1]
    return [S <= -3, S >= 3] if code == HARD_SWISH else []


def edges(dtype, *more):
    """Return zeros, infinities, NaN, the smallest and largest numbers, and ``more``.

    Each of ``more`` is there with its two neighbours.
    """
    limits = np.finfo(dtype)
    plain = [0, 1, limits.tiny, limits.smallest_subnormal, limits.max, np.inf]
    near = [x for x in np.array(more, dtype) if np.isfinite(x)]
    near += [np.nextafter(x, x.dtype.type(to)) for x in near for to in (-np.inf, np.inf)]
    values = np.array([*plain, np.nan, *near], dtype)
    return np.concatenate([values, -values])
