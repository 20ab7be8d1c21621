"""Comparisons of both passes of `conv2d`: all gradients, and reals within their bound."""

import numpy as np

import matconv
from support import reference
from support.tolerances import assert_same, assert_within, inner_product_bound

GRADIENTS = ("dZ", "dW", "db")


def kernel_fits(size, pad, kernel, dilation):
    """Return whether the dilated kernel is not larger than the padded image."""
    return all(
        n + sum(sides) > (h - 1) * e
        for n, sides, h, e in zip(size, pad, kernel, dilation, strict=True)
    )


def integer_arrays(shape, filters, dtype, seed, bound=4):
    """Generator of random elements, and Z, W, b of integers from -bound to bound."""
    random = np.random.default_rng(seed)
    sizes = (shape, filters, filters[3])
    return random, *(random.integers(-bound, bound + 1, size).astype(dtype) for size in sizes)


def assert_same_gradients(found, expected, what=""):
    """Assert that dZ, dW and db are the same."""
    for name, one, other in zip(GRADIENTS, found, expected, strict=True):
        assert_same(one, other, f"{name} {what}")


def assert_reals_within_bound(shape, filters, options, dtype, seed):
    """Compare S, dZ, dW and db of random reals with plain loops in extended precision."""
    random = np.random.default_rng(seed)
    Z, W, b = (random.standard_normal(size).astype(dtype) for size in (shape, filters, filters[3]))
    S = matconv.conv2d(Z, W, b, **options)
    dS = random.standard_normal(S.shape).astype(dtype)
    found = (S, *matconv.conv2d_backward(dS, Z, W, **options))
    literal = {name: value for name, value in options.items() if name != "algorithm"}
    wide = [x.astype(np.longdouble) for x in (Z, W, b, dS)]
    exact, size = (
        (reference.conv2d(z, w, v, **literal), *reference.conv2d_backward(s, z, w, **literal))
        for z, w, v, s in (wide, [np.abs(x) for x in wide])
    )
    taps, positions = filters[1] * filters[2], dS.size // filters[3]
    lengths = (taps * filters[0] + 1, taps * filters[3], positions, positions)
    for name, one, truth, magnitude, K in zip(
        ("S", *GRADIENTS), found, exact, size, lengths, strict=True
    ):
        assert_within(one, truth, inner_product_bound(K, magnitude, dtype), name)
