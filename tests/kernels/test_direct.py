"""Convolutions with few channels per group by loops over taps, against im2col and plain loops."""

import numpy as np
import pytest
from support import activations, reference
from support.convolutions import (
    assert_reals_within_bound,
    assert_same_gradients,
    integer_arrays,
    kernel_fits,
)
from support.tolerances import assert_same

import matconv
from matconv.kernels._conv import ConvPlan
from matconv.kernels._geometry import WindowGeometry

DTYPES = ("float64", "float32")


def cases(count, seed):
    """Shapes of Z and W, and options; depthwise, with a multiplier, and with small groups."""
    random = np.random.default_rng(seed)
    while count:
        groups = int(random.integers(2, 20))
        kernel, stride, dilation = (
            tuple(random.integers(1, high, 2).tolist()) for high in (6, 4, 4)
        )
        highest = 8 if stride == (1, 1) else 16
        d_g, d_out_g = (
            (1, 1)
            if random.random() < 0.4
            else random.integers(1, highest, 2, endpoint=True).tolist()
        )
        pad = tuple(map(tuple, random.integers(0, 5, (2, 2)).tolist()))
        size = tuple(random.integers(1, 16, 2).tolist())
        if kernel_fits(size, pad, kernel, dilation):
            count -= 1
            shape = (int(random.integers(0, 4)), *size, groups * d_g)
            options = {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups}
            yield shape, (d_g, *kernel, groups * d_out_g), options


def plan_of(shape, filters, dtype="float64", algorithm="auto", **options):
    geometry = WindowGeometry("conv2d", shape, filters[1:3], channels=filters[3], **options)
    return ConvPlan(geometry, dtype, algorithm)


@pytest.mark.parametrize("dtype", DTYPES)
def test_direct_integers_equal_im2col(dtype):
    for k, (shape, filters, options) in enumerate(cases(400, 1)):
        random, Z, W, b = integer_arrays(shape, filters, dtype, k)
        assert plan_of(shape, filters, dtype, **options).algorithm == "direct"
        S = matconv.conv2d(Z, W, b, relu=True, **options)
        literal = {**options, "algorithm": "im2col"}
        assert_same(S, matconv.conv2d(Z, W, b, relu=True, **literal), "S")
        dS = random.integers(-4, 5, S.shape).astype(dtype)
        found = matconv.conv2d_backward(dS, Z, W, **options)
        expected = matconv.conv2d_backward(dS, Z, W, **literal)
        assert_same_gradients(found, expected, f"of case {k}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_direct_reals_are_within_the_bound(dtype):
    for k, (shape, filters, options) in enumerate(cases(60, 2)):
        assert_reals_within_bound(shape, filters, options, dtype, k)


def test_direct_is_chosen_by_auto_only_for_few_channels_per_group():
    shape = (1, 9, 9, 32)
    for groups, d_out, stride, expected in (
        (32, 32, 1, True), (32, 64, 1, True), (4, 32, 1, True), (2, 32, 1, False),
        (2, 32, 2, True), (2, 32, (1, 2), True), (2, 34, 2, False),
    ):  # fmt: skip
        filters, pixels = (32 // groups, 3, 3, d_out), {"pad": 1, "stride": stride}
        plan = plan_of(shape, filters, groups=groups, **pixels)
        assert (plan.algorithm == "direct") == expected
        assert plan_of(shape, filters, algorithm="im2col", groups=groups, **pixels).algorithm == (
            "im2col"
        )
        assert plan_of(shape, filters, algorithm="winograd", groups=groups, **pixels).algorithm == (
            "winograd"
        )
    assert plan_of((1, 9, 9, 1), (1, 3, 3, 1), pad=1).algorithm != "direct"


@pytest.mark.parametrize("dtype", DTYPES)
def test_direct_nan_affects_the_outputs_that_depend_on_it(dtype):
    for shape, filters, options in cases(60, 3):
        if shape[0] == 0:
            continue
        random = np.random.default_rng(0)
        Z, W = (random.standard_normal(size).astype(dtype) for size in (shape, filters))
        at = tuple(random.integers(0, shape))
        for value in (np.nan, np.inf):
            Z[at] = value
            found = ~np.isfinite(matconv.conv2d(Z, W, **options))
            ones = np.zeros(shape)
            ones[at] = 1
            reached = reference.conv2d(ones, np.ones(filters), **options) > 0
            assert_same(found, reached, f"{value} at {at}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_direct_denormals_are_kept(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    Z, W = np.full((1, 5, 5, 6), tiny, dtype), np.ones((1, 3, 3, 6), dtype)
    S = matconv.conv2d(Z, W, groups=6)
    assert_same(S, np.full(S.shape, 9 * tiny, dtype))


def test_direct_filter_infinity_in_padding_has_no_effect():
    """im2col multiplies the zeros of the padding; the loops skip them."""
    Z, W = np.ones((1, 3, 3, 2)), np.ones((1, 3, 3, 2))
    W[0, 0, 0, 0] = np.inf
    S = matconv.conv2d(Z, W, pad=1, groups=2)
    assert np.isfinite(S[0, 0]).all() and np.isfinite(S[..., 1]).all()
    assert np.isposinf(S[0, 1:, 1:, 0]).all()
    assert np.isnan(matconv.conv2d(Z, W, pad=1, groups=2, algorithm="im2col")[0, 0, 0, 0])


WIDTHS = (2, 3, 4, 5, 7, 8, 9, 12, 15, 17, 24, 33, 300)


def depthwise_cases(seed):
    """Depthwise layers of 3 x 3 and other taps: tiles, edges, whole and partial vectors."""
    random = np.random.default_rng(seed)
    for d in WIDTHS:
        for stride in ((1, 1), (2, 2), (1, 2), (3, 1), (4, 5)):
            for dilation in (1, 2):
                kernel = (
                    (3, 3) if random.random() < 0.8 else tuple(random.integers(1, 6, 2).tolist())
                )
                size = tuple(random.integers(1, 14, 2).tolist())
                high = tuple((h - 1) * dilation // 2 for h in kernel)
                if all(
                    n + 2 * p > (h - 1) * dilation
                    for n, p, h in zip(size, high, kernel, strict=True)
                ):
                    options = {"stride": stride, "pad": high, "dilation": dilation, "groups": d}
                    yield (2, *size, d), (1, *kernel, d), options


@pytest.mark.parametrize("dtype", DTYPES)
def test_depthwise_tiles_equal_im2col(dtype):
    count = 0
    for k, (shape, filters, options) in enumerate(depthwise_cases(4)):
        count += 1
        random, Z, W, b = integer_arrays(shape, filters, dtype, k, bound=9)
        literal = {**options, "algorithm": "im2col"}
        S = matconv.conv2d(Z, W, b, **options)
        assert_same(S, matconv.conv2d(Z, W, b, **literal), f"S of case {k}")
        dS = random.integers(-9, 10, S.shape).astype(dtype)
        found = matconv.conv2d_backward(dS, Z, W, **options)
        expected = matconv.conv2d_backward(dS, Z, W, **literal)
        assert_same_gradients(found, expected, f"of case {k}")
    assert count > 100


@pytest.mark.parametrize("dtype", DTYPES)
def test_depthwise_many_column_runs_equal_im2col(dtype):
    """Each column has other taps than its neighbour, and there are more than are stored at once."""
    random = np.random.default_rng(5)
    for kernel, pad, width, stride in ((41, 20, 41, 1), (81, 40, 44, 3), (70, 69, 1, 1)):
        Z = random.integers(-3, 4, (2, 2, width, 9)).astype(dtype)
        W = random.integers(-3, 4, (1, 1, kernel, 9)).astype(dtype)
        options = {"pad": ((0, 0), (pad, pad)), "stride": (1, stride), "groups": 9}
        S = matconv.conv2d(Z, W, relu=True, **options)
        dS = random.integers(-3, 4, S.shape).astype(dtype)
        found = (S, *matconv.conv2d_backward(dS, Z, W, **options))
        literal = {**options, "algorithm": "im2col"}
        expected = (
            matconv.conv2d(Z, W, relu=True, **literal),
            *matconv.conv2d_backward(dS, Z, W, **literal),
        )
        for name, one, other in zip(("S", "dZ", "dW", "db"), found, expected, strict=True):
            assert_same(one, other, f"{name} of {kernel} taps")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [*activations.EXACT[1:], "sigmoid", "silu"], ids=repr)
def test_depthwise_activation_is_that_of_a_layer_of_its_own(activation, dtype):
    for d, stride, scale in ((5, 1, 1.0), (33, 1, 1.0), (33, 2, 1.0), (12, 3, np.nan)):
        size, layer = (7, 8, d), {"stride": stride, "pad": 1, "groups": d}
        fused = matconv.Network(size, [matconv.Conv(d, 3, activation=activation, **layer)], dtype)
        apart = matconv.Network(
            size, [matconv.Conv(d, 3, **layer), matconv.Activation(activation)], dtype
        )
        random = np.random.default_rng(d)
        theta, Z = (random.integers(-4, 5, size).astype(dtype) for size in (fused.n, (3, *size)))
        Z[1, 3, 4, d - 1] *= np.dtype(dtype).type(scale)
        assert_same(fused.forward(theta, Z), apart.forward(theta, Z), f"{d} channels")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_gradient_is_added_to_that_of_another_layer(stride, dtype):
    """The second layer that reads a value adds to dZ; integers, so that sums are exact."""
    size, d = (8, 8, 11), 11  # a power of two of pixels, by which the loss divides
    gradients = []
    for algorithm in ("auto", "im2col"):
        layer = {"stride": stride, "pad": 1, "groups": d, "algorithm": algorithm}
        layers = [
            matconv.Conv(d, 1, groups=d, name="first", algorithm=algorithm),
            matconv.Conv(d, 3, inputs="first", name="a", **layer),
            matconv.Conv(d, 3, inputs="first", name="b", **layer),
            matconv.Add(inputs=["a", "b"]),
        ]
        net = matconv.Network(size, layers, dtype)
        random = np.random.default_rng(6)
        theta = random.integers(-2, 3, net.n).astype(dtype)
        Z = random.integers(-2, 3, (2, *size)).astype(dtype)
        Y = random.integers(-2, 3, (2, *net.output_shape)).astype(dtype)
        f = matconv.Objective(net, Z, Y, loss="squared")
        gradients.append(f.gradient(theta))
    assert_same(*gradients, "gradient")


@pytest.mark.parametrize("stride", [2**40, 2**62, (2**63 - 1, 1), (3, 2**63 - 1)])
def test_strides_beyond_the_image_take_no_time(stride):
    random = np.random.default_rng(0)
    for groups in (2, 6):
        Z, W = (
            random.integers(-4, 5, size).astype(float)
            for size in ((2, 4, 4, 6), (6 // groups, 2, 2, 6))
        )
        S = matconv.conv2d(Z, W, stride=stride, groups=groups)
        assert_same(S, reference.conv2d(Z, W, stride=stride, groups=groups), "S")
        found = matconv.conv2d_backward(S, Z, W, stride=stride, groups=groups)
        expected = reference.conv2d_backward(S, Z, W, stride=stride, groups=groups)
        assert_same_gradients(found, expected)


def test_distances_that_overflow_are_not_used():
    """The second tap of output 0 and the first one of output 1 are outside the image."""
    Z, W = np.full((1, 1, 1, 2), 3.0), np.full((1, 2, 1, 2), 5.0)
    options = {"stride": (2**60, 1), "dilation": (2**62 + 2**60, 1), "groups": 2}
    options["pad"] = ((2**62 + 2**61, 0), (0, 0))
    S = matconv.conv2d(Z, W, **options)
    expected = reference.conv2d(Z, W, **options)
    assert_same(S, expected, "S")
    dS = np.array([7.0, 11.0, 13.0, 17.0]).reshape(S.shape)
    found = matconv.conv2d_backward(dS, Z, W, **options)
    assert_same_gradients(found, reference.conv2d_backward(dS, Z, W, **options))
    Z, W = np.ones((1, 1, 64, 2)), np.ones((1, 1, 1, 2))
    S = matconv.conv2d(Z, W, groups=2, stride=(2**58, 1), pad=((2**60, 0), (0, 0)))
    assert_same(S[0, :, 0, 0], np.array([0.0, 0, 0, 0, 1]), "rows")
