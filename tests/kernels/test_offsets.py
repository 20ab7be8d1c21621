"""Convolutions of images with few channels, whose phi is read from the image, not gathered."""

import numpy as np
import pytest
from support import reference
from support.convolutions import (
    assert_reals_within_bound,
    assert_same_gradients,
    integer_arrays,
)
from support.loop_cases import few_channels
from support.tolerances import assert_same

from matconv import Conv, MaxPool, Network, Objective, conv2d, conv2d_backward

DTYPES = ("float64", "float32")


def assert_integers_equal_plain_loops(shape, filters, options, dtype, seed):
    random, Z, W, b = integer_arrays(shape, filters, dtype, seed)
    literal = {key: value for key, value in options.items() if key != "algorithm"}
    S = conv2d(Z, W, b, relu=seed % 2 == 1, **options)
    expected = reference.conv2d(Z, W, b, **literal)
    assert_same(S, np.maximum(expected, 0) if seed % 2 else expected, f"S of case {seed}")
    dS = random.integers(-4, 5, S.shape).astype(dtype)
    found = conv2d_backward(dS, Z, W, **options)
    expected = reference.conv2d_backward(dS, Z, W, **literal)
    assert_same_gradients(found, expected, f"of case {seed}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_have_no_difference(dtype):
    for k, (shape, filters, options) in enumerate(few_channels(150, 1)):
        assert_integers_equal_plain_loops(shape, filters, options, dtype, k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pad", [0, ((1, 0), (2, 1))])
@pytest.mark.parametrize("d_out", [21, 24])
def test_several_bands_of_long_rows_have_no_difference(d_out, pad, dtype):
    """Bands of 4 of 10 rows of outputs, in rows of two or three parts; whole and partial panels."""
    options = {"stride": (2, 4), "pad": pad, "algorithm": "im2col"}
    assert_integers_equal_plain_loops((2, 20, 500, 4), (4, 2, 3, d_out), options, dtype, d_out)


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_rows_of_few_elements_have_no_difference(dtype):
    """A row of outputs in several parts, in a band whose rows all follow the sums of a part."""
    options = {"pad": 1, "algorithm": "im2col"}
    assert_integers_equal_plain_loops((2, 7, 150, 1), (1, 3, 3, 21), options, dtype, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", [(6, 8), (7, 7), (8, 7)])
def test_columns_of_phi_around_the_limit_have_no_difference(kernel, dtype):
    """192 elements are the maximum."""
    options = {"pad": 2, "algorithm": "im2col"}
    assert_integers_equal_plain_loops((2, 9, 12, 4), (4, *kernel, 9), options, dtype, 0)


@pytest.mark.parametrize(
    ("kernel", "pad", "stride", "dilation"),
    [
        ((2, 1), ((2**62, 0), (0, 0)), 1, (2**62, 1)),
        ((1, 2), ((0, 0), (0, 2**62)), (1, 2**62), 1),
        ((1, 2), ((0, 0), (2**62, 0)), (1, 2**62), 1),
    ],
)
def test_sizes_that_overflow_are_not_read_by_offsets(kernel, pad, stride, dilation):
    """A band of such rows would have a number of elements that overflows to a small one."""
    random, Z, W, _ = integer_arrays((1, 1, 2, 4), (4, *kernel, 9), "float64", 0)
    options = {"pad": pad, "stride": stride, "dilation": dilation}
    S = conv2d(Z, W, algorithm="im2col", **options)
    assert_same(S, reference.conv2d(Z, W, **options), "S")
    dS = random.integers(-4, 5, S.shape).astype(float)
    found = conv2d_backward(dS, Z, W, algorithm="im2col", **options)
    assert_same_gradients(found, reference.conv2d_backward(dS, Z, W, **options))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [(1, 0), (0, 1), (2, 3)])
def test_padding_above_or_below_alone_has_no_difference(rows, dtype):
    """Rows without padding are read from the image itself, unless one of them is padding."""
    for kernel, stride in (((3, 2), 1), ((2, 3), (2, 1))):
        options = {"pad": (rows, (0, 0)), "stride": stride, "algorithm": "im2col"}
        assert_integers_equal_plain_loops((3, 6, 9, 2), (2, *kernel, 11), options, dtype, 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_reals_are_within_the_bound(dtype):
    for k, (shape, filters, options) in enumerate(few_channels(30, 2)):
        assert_reals_within_bound(shape, filters, options, dtype, k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_bits_are_those_of_any_number_of_threads(channels, images, dtype):
    layers = [Conv(21, 5, pad=2, activation="relu"), MaxPool(2), Conv(4, 3)]
    net = Network((90, 70, channels), layers, dtype=dtype, algorithm="im2col")
    theta = net.init(0)
    Z = np.random.default_rng(1).standard_normal((images, 90, 70, channels)).astype(dtype)
    y = np.zeros((images, *net.output_shape[:2]), np.int64)
    S, results = net.forward(theta, Z, n_threads=1).tobytes(), set()
    for n_threads in (1, 2, 3, 5):
        assert net.forward(theta, Z, n_threads=n_threads).tobytes() == S
        f = Objective(net, Z, y, loss="softmax", n_threads=n_threads)
        value, slopes = f.value_and_gradient(theta)
        results.add((float(value), slopes.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_not_finite_pixels_affect_the_outputs_that_depend_on_them(dtype):
    Z, W = np.ones((2, 9, 9, 1), dtype), np.ones((1, 3, 3, 21), dtype)
    Z[1, 4, 5] = np.nan
    found = np.isnan(conv2d(Z, W, algorithm="im2col"))
    expected = np.zeros((2, 7, 7, 21), bool)
    expected[1, 2:5, 3:6] = True
    assert_same(found, expected, "NaN")
