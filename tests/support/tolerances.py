"""Tolerances of the tests.

If the arithmetic is exact (copies, sums of small integers), results must be equal. Otherwise a sum
of K products may be added in any order, and the error of each element has a bound that follows from
its operands.
"""

import numpy as np


def inner_product_bound(K, magnitude, dtype):
    """Return the largest error of sums of K products: ``2 (K + 2) eps magnitude``.

    The error of a sum of K products and a bias, in any order, with or without fused multiply-add,
    is at most ``(K + 1) u / (1 - (K + 1) u)`` times the sum of absolute values, where the rounding
    unit u is eps / 2 (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). The
    bound is four times that, because the expected value is rounded too.

    Parameters
    ----------
    K : int
        Number of products of a sum.
    magnitude : array
        The same sums of absolute values: |W| |phi| + |b|.
    dtype : float64 or float32

    Returns
    -------
    array, the shape of `magnitude`
        With K + 2 times the smallest subnormal number added, the error of an operation below the
        normal numbers.
    """
    info = np.finfo(dtype)
    return 2 * (K + 2) * info.eps * magnitude + (K + 2) * info.smallest_subnormal


def rounding_bound(count, magnitude, dtype=np.float64):
    """Return ``count eps magnitude``, the bound of so many roundings of values of a magnitude.

    One rounding changes a value by at most eps / 2 times its magnitude; the tests count roundings
    of both values that they compare.
    """
    return count * np.finfo(dtype).eps * np.abs(magnitude)


def printed_bound(value, digits):
    """Return half a unit of the last digit of a value printed with so many significant digits."""
    return 0.5 * 10.0 ** (np.floor(np.log10(np.abs(value))) + 1 - digits)


def assert_slope(slope, derivative, scale):
    """Assert that a central difference is a derivative, within 1e-7 of the size of all of them.

    With a step h = 1e-5 the error is of the order h^2 + eps / h, 1e-10: the bound leaves a factor
    for the third derivative, and a missing term is far beyond it.
    """
    assert abs(slope - derivative) <= 1e-7 * scale, (slope, derivative, scale)


def assert_within(actual, exact, bound, what=""):
    """Assert that every element of `actual` is within `bound` of `exact`."""
    actual, exact = np.asarray(actual), np.asarray(exact)
    assert actual.shape == exact.shape, f"{what}: shape {actual.shape}, expected {exact.shape}"
    if actual.size == 0:
        return
    error = np.abs(actual.astype(exact.dtype) - exact)
    bad = ~(error <= bound)  # also if the error is NaN
    if bad.any():
        first = tuple(int(k) for k in np.argwhere(bad)[0])
        allowed = np.broadcast_to(bound, bad.shape)[first]
        raise AssertionError(
            f"{what}: {bad.sum()} of {bad.size} elements are too far from the truth; first at "
            f"{first}: got {actual[first]!r}, expected {exact[first]!r} within {allowed!r}"
        )


def assert_same(actual, exact, what=""):
    """Assert equal shapes and equal elements; NaN equals NaN."""
    actual, exact = np.asarray(actual), np.asarray(exact)
    assert actual.shape == exact.shape, f"{what}: shape {actual.shape}, expected {exact.shape}"
    bad = ~((actual == exact) | (np.isnan(actual) & np.isnan(exact)))
    if bad.any():
        first = tuple(int(k) for k in np.argwhere(bad)[0])
        raise AssertionError(
            f"{what}: {bad.sum()} of {bad.size} elements differ; first at {first}: "
            f"got {actual[first]!r}, expected {exact[first]!r}"
        )


def assert_same_bytes(actual, expected, what=""):
    """Assert equal dtypes, shapes and bits."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"{what}: {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: {actual.shape}, expected {expected.shape}"
    if actual.tobytes() != expected.tobytes():
        assert_same(actual, expected, what)
        raise AssertionError(f"{what}: equal elements, but other signs of zeros or bits of NaN")
