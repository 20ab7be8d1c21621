"""Activations as numpy computes them, and the elements that tell them apart."""

import numpy as np

NONE, RELU, LEAKY_RELU, CLIP = range(4)

# (code, alpha, beta); the numbers that a code does not use are NaN
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
    """The two numbers in the dtype."""
    return np.dtype(dtype).type(alpha), np.dtype(dtype).type(beta)


def activated(S, code, alpha, beta):
    """sigma(S), bit for bit; a NaN stays a NaN."""
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
    """sigma'(S) dZ, bit for bit, from Z = sigma(S); dZ where Z is NaN."""
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
    """Zeros, infinities, NaN, the smallest and largest numbers, and these with their neighbours."""
    limits = np.finfo(dtype)
    plain = [0, 1, limits.tiny, limits.smallest_subnormal, limits.max, np.inf]
    near = [x for x in np.array(more, dtype) if np.isfinite(x)]
    near += [np.nextafter(x, x.dtype.type(to)) for x in near for to in (-np.inf, np.inf)]
    values = np.array([*plain, np.nan, *near], dtype)
    return np.concatenate([values, -values])
