"""Activations and their gradients in NumPy, and elements at which they differ."""

import numpy as np

NONE, RELU, LEAKY_RELU, CLIP = range(4)

# (code, alpha, beta); NaN for a number that the code does not use
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


def in_dtype(alpha, beta, dtype):
    """Return the two numbers in a dtype."""
    return np.dtype(dtype).type(alpha), np.dtype(dtype).type(beta)


def activated(S, code, alpha, beta):
    """Return sigma(S) with the same bits as the kernels; NaN remains NaN."""
    alpha, beta = in_dtype(alpha, beta, S.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        if code == RELU:
            return np.where(S <= 0, S.dtype.type(0), S)
        if code == LEAKY_RELU:
            return np.where(S <= 0, alpha * S, S)
        if code == CLIP:
            above = np.where(S <= alpha, alpha, S)
            return np.where(above >= beta, beta, above)
    return S.copy()


def gradient(dZ, Z, code, alpha, beta):
    """Return sigma'(S) dZ from Z = sigma(S), with the same bits as the kernels; dZ for NaN."""
    alpha, beta = in_dtype(alpha, beta, Z.dtype)
    zero = Z.dtype.type(0)
    with np.errstate(invalid="ignore", over="ignore"):
        if code == RELU:
            return np.where(Z <= 0, zero, dZ)
        if code == LEAKY_RELU:
            return np.where(Z <= 0, alpha * dZ, dZ)
        if code == CLIP:
            return np.where((Z <= alpha) | (Z >= beta), zero, dZ)
    return dZ.copy()


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
