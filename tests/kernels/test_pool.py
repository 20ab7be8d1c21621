"""Pooling against the naive loops: values and indices exact, ties, NaN, -Inf and padding."""

import numpy as np
import pytest
from support import geometries, reference
from support.tolerances import assert_same, assert_same_bytes, assert_within, rounding_bound

import matconv
from matconv.kernels import _pool as pool

DTYPES = ("float64", "float32")
CASES = 400
# pool strides default to the window; this level asks for the default
DEFAULT = "window"


def pool_cases(count, seed=0):
    """Windows of all sizes with every side's padding below the window."""
    random = np.random.default_rng(seed)
    draw = {
        name: geometries.rounds(levels, random)
        for name, levels in {
            "b": (*range(1, 14), 28), "a": (*range(1, 14), 28), "h_b": (1, 2, 3, 4, 5),
            "h_a": (1, 2, 3, 4, 5), "s_b": (DEFAULT, 1, 2, 3, 4), "s_a": (1, 2, 3, 4),
            "l": (0, 1, 2, 3), "d": (1, 2, 3, 4, 5, 7, 8, 9, 16, 17),
        }.items()
    }  # fmt: skip
    while count:
        new = {name: next(levels) for name, levels in draw.items()}
        window = (new["h_b"], new["h_a"])
        pad = tuple((int(random.integers(0, h)), int(random.integers(0, h))) for h in window)
        stride = None if new["s_b"] is DEFAULT else (new["s_b"], new["s_a"])
        size = (new["b"], new["a"])
        if min(reference.output_shape(size, window, stride or window, pad)) > 0:
            count -= 1
            yield (new["l"], *size, new["d"]), {"window": window, "stride": stride, "pad": pad}


def images(random, shape, dtype, kind):
    """Integers with many ties; 'special' sprinkles NaN and infinities over them."""
    Z = random.integers(-3, 4, size=shape).astype(dtype)
    if kind == "negative":
        Z = -1 - np.abs(Z)
    if kind == "special":
        for value in (np.nan, -np.inf, np.inf):
            Z[random.random(shape) < 0.1] = value
        Z[random.random(shape[0]) < 0.2] = -np.inf
        Z[random.random(shape[0]) < 0.1] = np.nan
    return Z


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["ties", "negative", "special"])
def test_max_pool2d(dtype, kind):
    random = np.random.default_rng(1)
    for shape, window in pool_cases(CASES):
        Z = images(random, shape, dtype, kind)
        exact, exact_indices = reference.max_pool2d(Z, **window)
        out = np.full(exact.shape, np.nan, dtype)
        actual, indices = matconv.max_pool2d(Z, return_indices=True, out=out, **window)
        what = f"{shape} {window}"
        assert actual is out and indices.dtype == np.int32, what
        assert_same(actual, exact, what)
        assert_same(indices, exact_indices, what)
        assert_same_bytes(matconv.max_pool2d(Z, **window), actual, what)
        dZ = geometries.integers(random, exact.shape, dtype)
        back = matconv.max_pool2d_backward(dZ, indices, shape)
        assert back.dtype == dtype
        assert_same(back, reference.max_pool2d_backward(dZ, exact_indices, shape), what)


@pytest.mark.parametrize("dtype", DTYPES)
def test_avg_pool2d(dtype):
    """Sums of small integers are exact and one division is rounded, so forward is equal; backward
    adds rounded quotients."""
    random = np.random.default_rng(2)
    for shape, window in pool_cases(CASES, seed=1):
        what = f"{shape} {window}"
        Z = geometries.integers(random, shape, dtype)
        exact = reference.avg_pool2d(Z, **window)
        out = np.full(exact.shape, np.nan, dtype)
        actual = matconv.avg_pool2d(Z, out=out, **window)
        assert actual is out, what
        assert_same(actual, exact, what)
        dZ = geometries.integers(random, exact.shape, dtype)
        back = matconv.avg_pool2d_backward(dZ, shape, **window)
        assert back.dtype == dtype
        truth = reference.avg_pool2d_backward(dZ.astype(np.float64), shape, **window)
        size = reference.avg_pool2d_backward(np.abs(dZ).astype(np.float64), shape, **window)
        # at most 25 windows meet in a pixel
        assert_within(back, truth, rounding_bound(27, size, dtype), what)


@pytest.mark.parametrize("dtype", DTYPES)
def test_avg_pool2d_of_nan_and_infinity(dtype):
    random = np.random.default_rng(4)
    for shape, window in pool_cases(100, seed=3):
        Z = images(random, shape, dtype, "special")
        with np.errstate(invalid="ignore"):
            exact = reference.avg_pool2d(Z.astype(np.float64), **window)
        actual = matconv.avg_pool2d(Z, **window)
        finite = np.isfinite(exact)
        assert_same(actual[~finite], exact[~finite], f"{shape} {window}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_pools_are_adjoint_to_their_backward_passes(dtype):
    random = np.random.default_rng(5)
    for shape, window in pool_cases(100, seed=4):
        Z = geometries.integers(random, shape, dtype)
        out, indices = matconv.max_pool2d(Z, return_indices=True, **window)
        dZ = geometries.integers(random, out.shape, dtype)
        back = matconv.max_pool2d_backward(dZ, indices, shape)
        assert np.sum(out * dZ, dtype=np.float64) == np.sum(Z * back, dtype=np.float64)


def test_max_pool2d_ties_index_is_the_first():
    Z = np.array([[1.0, 5.0, 5.0], [5.0, 5.0, 2.0]]).reshape(1, 2, 3, 1)
    out, indices = matconv.max_pool2d(Z, (2, 3), return_indices=True)
    assert out.item() == 5.0 and indices.item() == 1


def test_max_pool2d_nan_index_is_the_first():
    Z = np.array([[1.0, 7.0, np.nan], [np.nan, 8.0, 2.0]]).reshape(1, 2, 3, 1)
    out, indices = matconv.max_pool2d(Z, (2, 3), return_indices=True)
    assert np.isnan(out.item()) and indices.item() == 2


@pytest.mark.parametrize("value", [np.nan, -np.inf, -5.0])
def test_max_pool2d_padding_is_not_the_maximum(value):
    """Windows half in the padding, whatever the real pixels hold, name a real pixel."""
    Z = np.full((2, 3, 4, 2), value)
    out, indices = matconv.max_pool2d(Z, 2, stride=1, pad=1, return_indices=True)
    assert_same(out, np.full((2, 4, 5, 2), value))
    real = np.arange(12).reshape(3, 4)
    first = np.pad(real, ((1, 0), (1, 0)), mode="edge")
    assert_same(indices, np.broadcast_to(first[None, :, :, None], indices.shape))
    if not np.isnan(value):
        assert_same(matconv.avg_pool2d(Z, 2, stride=1, pad=1), np.full((2, 4, 5, 2), value))


def test_pool_stride_default_is_the_window():
    Z = np.arange(2.0 * 7 * 6 * 3).reshape(2, 7, 6, 3)
    for operator in (matconv.max_pool2d, matconv.avg_pool2d):
        assert_same(operator(Z, (2, 3)), operator(Z, (2, 3), stride=(2, 3)))
        assert operator(Z, (2, 3)).shape == (2, 3, 2, 3)
        assert_same(operator(Z, 2), operator(Z, (2, 2), stride=2))


@pytest.mark.parametrize("wrong", [np.int64, ">i4"])
def test_max_pool_adjoint_wrong_indices_refused(wrong):
    geometry = pool.pool_geometry("MaxPool", (1, 4, 4, 1), 2)
    indices = np.zeros((1, 2, 2, 1), wrong)
    with pytest.raises(TypeError, match="^MaxPool: indices must be contiguous int32, got "):
        pool.max_pool_adjoint(geometry, np.ones((1, 2, 2, 1)), indices)
    strided = np.zeros((1, 2, 4, 1), np.intc)[:, :, ::2]
    with pytest.raises(TypeError, match="indices must be contiguous int32"):
        pool.max_pool_adjoint(geometry, np.ones((1, 2, 2, 1)), strided)
