"""Convolutions of images with few channels, whose phi is read from the image, not gathered."""

import numpy as np
import pytest
from support import reference
from support.tolerances import assert_same, assert_within, inner_product_bound

from matconv import Conv, MaxPool, Network, Objective, conv2d, conv2d_backward

DTYPES = ("float64", "float32")


def cases(count, seed):
    """Shapes of Z and W, and options: around the limits of what is read by offsets."""
    random = np.random.default_rng(seed)
    while count:
        kernel = tuple(random.integers(1, 8, 2).tolist())
        stride, dilation = (tuple(random.integers(1, high, 2).tolist()) for high in (4, 3))
        pad = tuple(map(tuple, (random.integers(0, 5, (2, 2)) * random.integers(0, 2)).tolist()))
        size = tuple(random.integers(1, 40, 2).tolist())
        fits = all(
            n + sum(sides) > (h - 1) * e
            for n, sides, h, e in zip(size, pad, kernel, dilation, strict=True)
        )
        if fits:
            count -= 1
            d, d_out = (int(random.integers(low, high)) for low, high in ((1, 6), (7, 70)))
            options = {"stride": stride, "pad": pad, "dilation": dilation, "algorithm": "im2col"}
            yield (int(random.integers(0, 4)), *size, d), (d, *kernel, d_out), options


@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_have_no_difference(dtype):
    for k, (shape, filters, options) in enumerate(cases(150, 1)):
        random = np.random.default_rng(k)
        Z, W, b = (
            random.integers(-4, 5, size).astype(dtype) for size in (shape, filters, filters[3])
        )
        literal = {key: value for key, value in options.items() if key != "algorithm"}
        S = conv2d(Z, W, b, relu=k % 2 == 1, **options)
        expected = reference.conv2d(Z, W, b, **literal)
        assert_same(S, np.maximum(expected, 0) if k % 2 else expected, f"S of case {k}")
        dS = random.integers(-4, 5, S.shape).astype(dtype)
        found = conv2d_backward(dS, Z, W, **options)
        expected = reference.conv2d_backward(dS, Z, W, **literal)
        for name, one, other in zip(("dZ", "dW", "db"), found, expected, strict=True):
            assert_same(one, other, f"{name} of case {k}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_reals_are_within_the_bound(dtype):
    for k, (shape, filters, options) in enumerate(cases(30, 2)):
        random = np.random.default_rng(k)
        Z, W, b = (
            random.standard_normal(size).astype(dtype) for size in (shape, filters, filters[3])
        )
        S = conv2d(Z, W, b, **options)
        dS = random.standard_normal(S.shape).astype(dtype)
        found = (S, conv2d_backward(dS, Z, W, **options)[1])
        literal = {key: value for key, value in options.items() if key != "algorithm"}
        wide = [x.astype(np.longdouble) for x in (Z, W, b, dS)]
        exact, size = (
            (reference.conv2d(z, w, v, **literal), reference.conv2d_backward(s, z, w, **literal)[1])
            for z, w, v, s in (wide, [np.abs(x) for x in wide])
        )
        lengths = (filters[0] * filters[1] * filters[2] + 1, dS.size // filters[3])
        for name, one, truth, magnitude, K in zip(
            ("S", "dW"), found, exact, size, lengths, strict=True
        ):
            assert_within(one, truth, inner_product_bound(K, magnitude, dtype), name)


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
