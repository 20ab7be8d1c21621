"""lrn and lrn_backward: values, the gradient, windows, elements that are not finite."""

import numpy as np
import pytest
from support import normalizing
from support.tolerances import assert_same, assert_same_bytes, assert_within, rounding_bound

import matconv
from matconv import LRN

DTYPES = ["float64", "float32"]
# size, k, alpha, beta
NUMBERS = [
    (5, 2.0, 1e-4, 0.75),
    (1, 1.0, 0.5, 0.5),
    (2, 0.5, 1.0, 1.0),
    (3, 1.0, 2.0, 0.6),
    (4, 1.5, 0.25, 0.75),
    (7, 1.0, 0.5, 2.0),
    (8, 3.0, 0.5, -0.5),
    (1000, 1.0, 0.125, 0.75),
    (2**40, 1.0, 0.125, 0.75),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("numbers", NUMBERS, ids=str)
def test_lrn_and_its_gradient_are_those_of_numpy(numbers, dtype):
    random = np.random.default_rng(0)
    layer = LRN(*numbers)
    for d in (*range(1, 20), 96, 131):
        Z, dZ_out = random.standard_normal((2, 2, 3, d)).astype(dtype)
        wide = Z.astype(np.longdouble), dZ_out.astype(np.longdouble)
        # a few roundings for each of up to d squares, which have one sign, and of the power
        roundings = 4 * d + 16
        y = normalizing.lrn(layer, wide[0])
        assert_within(matconv.lrn(Z, *numbers), y, rounding_bound(roundings, y, dtype))
        dZ = normalizing.lrn_backward(layer, wide[1], wide[0])[0]
        size = np.abs(normalizing.lrn_backward(layer, np.abs(wide[1]), np.abs(wide[0]))[0])
        size += 2 * np.abs(normalizing.lrn(layer, wide[1]))
        size = np.broadcast_to(size.max(), size.shape)
        found = matconv.lrn_backward(dZ_out, Z, *numbers)
        assert_within(found, dZ, rounding_bound(roundings, size, dtype))


def test_lrn_window_of_an_even_size_has_one_more_channel_above():
    Z = np.array([[1.0, 2, 3, 5]])
    # with beta = -1 the result is z (k + alpha sum)
    assert matconv.lrn(Z, 2, 0, 1, -1).tolist() == [[5, 26, 102, 125]]
    assert matconv.lrn(Z, 3, 0, 1, -1).tolist() == [[5, 28, 114, 170]]
    assert matconv.lrn(Z, 4, 0, 1, -1).tolist() == [[14, 78, 114, 170]]
    # alpha is not divided by the size
    assert matconv.lrn(Z, 100, 1, 2, -1).tolist() == [[79, 158, 237, 395]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 40])
def test_lrn_not_finite_spreads_to_the_windows_that_contain_it(size, dtype):
    random = np.random.default_rng(size)
    Z, dZ_out = random.uniform(0.5, 2, (2, 5, 37)).astype(dtype)
    clean = matconv.lrn(Z, size), matconv.lrn_backward(dZ_out, Z, size)
    inside = normalizing.windows(LRN(size), 37)
    for c in (0, 1, 18, 36):
        broken = Z.copy()
        broken[2, c] = np.nan
        y = matconv.lrn(broken, size)
        touched = np.zeros(Z.shape, bool)
        touched[2] = inside[:, c]
        assert_same(np.isnan(y), touched)
        assert_same_bytes(y[~touched], clean[0][~touched])
        # the gradient of an element contains those of all windows that contain it
        dZ = matconv.lrn_backward(dZ_out, broken, size)
        touched[2] = (inside[inside[:, c]].any(0)) | inside[:, c]
        assert_same(np.isnan(dZ), touched)
        assert_same_bytes(dZ[~touched], clean[1][~touched])
        broken[2, c] = np.inf
        y = matconv.lrn(broken, size)[2]
        assert np.isnan(y[c])
        assert_same(y == 0, inside[:, c] & (np.arange(37) != c))


@pytest.mark.parametrize("dtype", DTYPES)
def test_lrn_zero_and_subnormal_elements(dtype):
    zero, tiny = np.zeros((1, 4), dtype), np.finfo(dtype).smallest_subnormal
    assert np.isnan(matconv.lrn(zero, 5, 0, 1, 0.5)).all()
    assert_same(matconv.lrn(zero), zero)
    assert_same(matconv.lrn(np.full((1, 4), tiny, dtype), 5, 1, 1, 0.75), zero + tiny)
    assert_same(matconv.lrn_backward(zero + 1, zero, 5, 4, 1, 0.5), zero + 0.5)


@pytest.mark.parametrize("function", ["lrn", "lrn_backward"])
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must be at least 1, got 0"),
        ({"size": 2.0}, TypeError, "size must be an integer, got 2.0 (float)"),
        ({"size": 2**70}, OverflowError, "does not fit a signed 64-bit size"),
        ({"k": -1}, ValueError, "k must be finite and not negative, got -1"),
        ({"k": np.nan}, ValueError, "k must be finite and not negative, got nan"),
        ({"alpha": np.inf}, ValueError, "alpha must be finite and not negative, got inf"),
        ({"alpha": "1"}, TypeError, "alpha must be a number, got '1'"),
        ({"beta": np.nan}, ValueError, "beta must be finite, got nan"),
        ({"beta": True}, TypeError, "beta must be a number, got True"),
        ({"beta": [1, 2]}, TypeError, "beta must be a number, got [1, 2]"),
        ({"beta": None}, TypeError, "beta must be a number, got None"),
    ],
)
def test_lrn_argument_wrong_is_refused(function, wrong, error, message):
    Z = np.ones((2, 3))
    arrays = (Z,) if function == "lrn" else (Z, Z)
    with pytest.raises(error) as caught:
        getattr(matconv, function)(*arrays, **wrong)
    assert f"{function}: " in str(caught.value) and message in str(caught.value)
    with pytest.raises(error) as caught:
        LRN(**wrong)
    assert f"LRN: {message}"[:40] in str(caught.value) or message in str(caught.value)


def test_lrn_array_wrong_is_refused():
    Z = np.ones((2, 3))
    for shape in ((), (3, 0)):
        with pytest.raises(ValueError, match="lrn: Z must have at least 1 channel, got the shape"):
            matconv.lrn(np.ones(shape))
    with pytest.raises(ValueError, match="lrn_backward: dZ_out"):
        matconv.lrn_backward(np.ones((2, 4)), Z)
    with pytest.raises(TypeError, match="lrn_backward: dZ_out"):
        matconv.lrn_backward(Z.astype("float32"), Z)
    with pytest.raises(ValueError, match="lrn: out must not overlap Z|lrn: out"):
        matconv.lrn(Z, out=Z)
