"""Legal input at the edge: no images, padding and strides beyond the kernel, NaN, infinities,
overflow and denormal numbers. The numbers are those of the catalogue.
"""

import numpy as np
import pytest
from support import by_im2col, reference
from support.operators import LAYER, OPERATORS, results
from support.tolerances import assert_same

import matconv

DTYPES = ("float64", "float32")


@pytest.fixture(autouse=True)
def quiet(capfd):
    """Nothing may appear on stdout or stderr; warnings are errors already."""
    with np.errstate(all="raise"):
        yield
    assert capfd.readouterr() == ("", "")


@pytest.mark.catalogue(8)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda o: o.name)
def test_operators_no_images_give_empty_arrays(operator, dtype):
    """An empty output of the right shape; parameters get a gradient of exactly zero."""
    arrays = operator.arrays(l=0, dtype=dtype)
    empty = results(operator(arrays, l=0))
    whole = results(operator(operator.arrays(l=9, dtype=dtype), l=9))
    for one, other in zip(empty, whole, strict=True):
        assert one.dtype == other.dtype
        if len(other) == 9:  # a batch
            assert one.shape == (0, *other.shape[1:])
        else:  # dW, db
            assert one.shape == other.shape
            assert not np.any(one.view(np.uint8))  # no -0.0 either
    if operator.out is not None:
        out = operator.output(l=0, dtype=dtype)
        assert results(operator(arrays, l=0, out=out))[0] is out


@pytest.mark.catalogue(15)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride", [(5, 4), (6, 2), (2, 7), (40, 40)])
def test_pixels_that_no_window_covers_get_gradient_zero(stride, dtype):
    random = np.random.default_rng(0)
    Z = random.integers(1, 9, (2, 9, 8, 3)).astype(dtype)
    W = random.integers(1, 9, (3, 2, 2, 4)).astype(dtype)
    covered = np.zeros((9, 8), bool)
    for *_, y, x in reference.taps((9, 8), (2, 2), stride):
        covered[y, x] = True
    assert not covered.all()
    S = by_im2col.conv2d(Z, W, stride=stride)
    dZ, _, _ = by_im2col.conv2d_backward(np.ones_like(S), Z, W, stride=stride)
    back = matconv.col2im(np.ones_like(matconv.im2col(Z, 2, stride)), Z.shape, 2, stride)
    pooled = matconv.avg_pool2d(Z, 2, stride)
    pool = matconv.avg_pool2d_backward(np.ones_like(pooled), Z.shape, 2, stride)
    for gradient in (dZ, back, pool):
        assert np.all(gradient[:, ~covered] == 0)
        assert np.all(gradient[:, covered] > 0)


@pytest.mark.catalogue(16)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("pad", [3, 4, 7, ((3, 5), (4, 3))])
def test_outputs_in_the_padding_are_the_bias(pad, relu, dtype):
    random = np.random.default_rng(1)
    Z = random.integers(1, 9, (2, 4, 4, 3)).astype(dtype)
    W = random.integers(1, 9, (3, 3, 2, 5)).astype(dtype)
    b = np.array([-2, -1, 0, 1, 2], dtype)
    S = by_im2col.conv2d(Z, W, b, pad=pad, relu=relu)
    seen = np.zeros(S.shape[1:3], bool)
    for q_out, p_out, *_ in reference.taps((4, 4), (3, 2), 1, pad):
        seen[q_out, p_out] = True
    expected = np.maximum(b, 0) if relu else b
    assert not seen.all()
    assert np.all(S[:, ~seen] == expected)
    assert np.all(S[:, seen] > b)


# NaN and infinities


def fields(size, kernel, stride, pad, dilation):
    """Which outputs see which pixel: a boolean array (b_out, a_out, b, a)."""
    outputs = reference.output_shape(size, kernel, stride, pad, dilation)
    seen = np.zeros((*outputs, *size), bool)
    for q_out, p_out, _, _, y, x in reference.taps(size, kernel, stride, pad, dilation):
        seen[q_out, p_out, y, x] = True
    return seen


@pytest.mark.catalogue(26)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d_out", [2, 4, 14, 34, 66])
def test_conv2d_nan_reaches_its_windows_only(d_out, dtype):
    """One NaN, at every pixel and channel in turn, through the convolution."""
    window = {k: v for k, v in LAYER.items() if k != "groups"}
    W = np.ones((2, 3, 2, d_out), dtype)
    seen = fields((6, 5), (3, 2), **window)
    for y, x, j in np.ndindex(6, 5, 4):
        Z = np.ones((2, 6, 5, 4), dtype)
        Z[1, y, x, j] = np.nan
        expected = np.zeros((2, *seen.shape[:2], d_out), bool)
        group = slice(0, d_out // 2) if j < 2 else slice(d_out // 2, d_out)
        expected[1, :, :, group] = seen[:, :, y, x, np.newaxis]
        for relu in (False, True):
            S = by_im2col.conv2d(Z, W, np.ones(d_out, dtype), relu=relu, **LAYER)
            assert np.array_equal(np.isnan(S), expected)
        phi = matconv.im2col(Z, (3, 2), **window)
        assert np.isnan(phi).sum() == seen[:, :, y, x].sum()


@pytest.mark.catalogue(26)
@pytest.mark.parametrize("dtype", DTYPES)
def test_conv2d_backward_nan_reaches_its_window_only(dtype):
    window = {k: v for k, v in LAYER.items() if k != "groups"}
    Z, W = np.ones((2, 6, 5, 4), dtype), np.ones((2, 3, 2, 6), dtype)
    seen = fields((6, 5), (3, 2), **window)
    for q_out, p_out, f in np.ndindex(3, 5, 6):
        dS = np.ones((2, 3, 5, 6), dtype)
        dS[0, q_out, p_out, f] = np.nan
        dZ, dW, db = by_im2col.conv2d_backward(dS, Z, W, **LAYER)
        expected = np.zeros(Z.shape, bool)
        channels = slice(0, 2) if f < 3 else slice(2, 4)
        expected[0, :, :, channels] = seen[q_out, p_out, :, :, np.newaxis]
        assert np.array_equal(np.isnan(dZ), expected)
        assert np.isnan(dW[..., f]).all() and not np.isnan(np.delete(dW, f, 3)).any()
        assert np.isnan(db[f]) and np.isnan(db).sum() == 1


@pytest.mark.catalogue(26)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", range(1, 36))
def test_bias_relu_nan_at_any_position(d, dtype):
    for lane in range(d):
        S, b = np.full((3, d), 2.0, dtype), np.full(d, -1.0, dtype)
        S[1, lane] = np.nan
        Z = matconv.bias_relu(S, b)
        assert np.isnan(Z[1, lane]) and np.isnan(Z).sum() == 1
        assert np.nansum(Z) == 3 * d - 1
        dS, db = matconv.bias_relu_backward(np.full((3, d), 5.0, dtype), Z)
        assert np.all(dS == 5) and np.all(db == 15)  # a NaN lets the gradient through


@pytest.mark.catalogue(26)
@pytest.mark.parametrize("dtype", DTYPES)
def test_ieee_results_without_a_warning(dtype):
    """Inf times the zeros of the padding, overflow to Inf, denormals kept, signs of Inf."""
    Z = np.ones((1, 2, 2, 1), dtype)
    W = np.full((1, 2, 2, 1), np.inf, dtype)
    S = by_im2col.conv2d(Z, W, pad=1)
    assert S[0, 1, 1, 0] == np.inf
    assert np.isnan(S).sum() == 8  # 0 * Inf everywhere at the border
    W = np.ones((1, 1, 1, 1), dtype)
    large = np.finfo(dtype).max
    for value in (large, -large, np.inf, -np.inf):
        S = by_im2col.conv2d(np.full((1, 1, 1, 1), value, dtype), 2 * W)
        assert S.item() == np.copysign(np.inf, value)
        out = matconv.bias_relu(np.full((1, 1), value, dtype), np.full(1, value, dtype))
        assert out.item() == (np.inf if value > 0 else 0)
    tiny = np.finfo(dtype).smallest_subnormal
    Z = np.full((1, 2, 2, 1), tiny, dtype)
    assert_same(by_im2col.conv2d(Z, 3 * W), np.full(Z.shape, tiny * 3, dtype))
    assert_same(matconv.bias_relu(Z, np.full(1, tiny, dtype)), np.full(Z.shape, 2 * tiny, dtype))
    assert_same(matconv.col2im(matconv.im2col(Z, 1), Z.shape, 1), Z)
    assert matconv.max_pool2d(Z, 2).item() == tiny
    assert matconv.avg_pool2d(Z, 2).item() == tiny
    assert matconv.dense(Z, np.ones((4, 1), dtype)).item() == 4 * tiny


@pytest.mark.catalogue(24)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf, -1.0])
def test_pool_windows_of_one_value(value, dtype):
    """Whatever fills them, windows give it back and name their own first real pixel."""
    pad = ((1, 1), (0, 1))
    Z = np.full((2, 5, 4, 9), value, dtype)
    out, indices = matconv.max_pool2d(Z, 2, 2, pad, return_indices=True)
    assert_same(out, np.full((2, 3, 2, 9), value))
    first = {}
    for q_out, p_out, _, _, y, x in reference.taps((5, 4), 2, 2, pad):
        first.setdefault((q_out, p_out), y * 4 + x)
    for (q_out, p_out), index in first.items():
        assert np.all(indices[:, q_out, p_out] == index)
    assert_same(matconv.avg_pool2d(Z, 2, 2, pad), np.full((2, 3, 2, 9), value))
