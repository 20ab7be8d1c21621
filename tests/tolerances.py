"""The one place that says how far a result may be from the truth.

Where the arithmetic is exact (copies, sums of small integers) the answer is: not at all, and the
tests compare for equality. Otherwise a sum of K products may be added up in any order, which
leaves every element within a bound that its own operands give.
"""

import numpy as np


def inner_product_bound(K, magnitude, dtype):
    """The largest error of sums of K products: ``2 (K + 2) eps magnitude``.

    K products summed in any order, with or without fused multiply-add, plus a bias, are within
    ``(K + 1) u / (1 - (K + 1) u)`` of the exact sum relative to the sum of absolute values, where
    the rounding unit u is eps / 2 (Higham, Accuracy and Stability of Numerical Algorithms,
    section 3.1). The bound takes four times that, and so leaves room for a truth that was rounded.

    Parameters
    ----------
    K : int
        The number of products of one sum.
    magnitude : array
        The same sums over absolute values: |W| |phi| + |b|.
    dtype : float64 or float32

    Returns
    -------
    array, the shape of `magnitude`
        Below the smallest normal number every operation may lose up to one subnormal step, so
        K + 2 of these steps are added.
    """
    info = np.finfo(dtype)
    return 2 * (K + 2) * info.eps * magnitude + (K + 2) * info.smallest_subnormal


def assert_within(actual, exact, bound, what=""):
    """Every element of `actual` is within `bound` of `exact`; the first that is not is named."""
    actual, exact = np.asarray(actual), np.asarray(exact)
    assert actual.shape == exact.shape, f"{what}: shape {actual.shape}, expected {exact.shape}"
    if actual.size == 0:
        return
    error = np.abs(actual.astype(exact.dtype) - exact)
    bad = ~(error <= bound)  # an error that is not a number is no success
    if bad.any():
        first = tuple(int(k) for k in np.argwhere(bad)[0])
        allowed = np.broadcast_to(bound, bad.shape)[first]
        raise AssertionError(
            f"{what}: {bad.sum()} of {bad.size} elements are too far from the truth; first at "
            f"{first}: got {actual[first]!r}, expected {exact[first]!r} within {allowed!r}"
        )


def assert_same(actual, exact, what=""):
    """Equal numbers (a NaN equals a NaN), equal shapes; the first difference is named."""
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
    """Equal dtype, shape and bits."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"{what}: {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: {actual.shape}, expected {expected.shape}"
    if actual.tobytes() != expected.tobytes():
        assert_same(actual, expected, what)
        raise AssertionError(f"{what}: the numbers agree, a zero's sign or a NaN's bits do not")
