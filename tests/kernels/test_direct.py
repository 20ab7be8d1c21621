"""Convolutions with few channels per group by loops over taps, against im2col and plain loops."""

import numpy as np
import pytest
from support import activations, reference
from support.convolutions import (
    assert_reals_within_bound,
    assert_same_gradients,
    integer_arrays,
)
from support.loop_cases import depthwise, small_groups
from support.tolerances import assert_same, assert_same_bytes

import matconv
from matconv.kernels._conv import ConvPlan
from matconv.kernels._geometry import WindowGeometry

DTYPES = ("float64", "float32")


def plan_of(shape, filters, dtype="float64", algorithm="auto", **options):
    geometry = WindowGeometry("conv2d", shape, filters[1:3], channels=filters[3], **options)
    return ConvPlan(geometry, dtype, algorithm)


@pytest.mark.parametrize("dtype", DTYPES)
def test_direct_integers_equal_im2col(dtype):
    for k, (shape, filters, options) in enumerate(small_groups(400, 1)):
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
    for k, (shape, filters, options) in enumerate(small_groups(60, 2)):
        assert_reals_within_bound(shape, filters, options, dtype, k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride", [1, (1, 2), 2])
def test_direct_long_runs_equal_im2col(stride, dtype):
    """Runs of more pixels than are computed at once."""
    for d_g, d_out_g in ((3, 5), (2, 8), (1, 1)):
        shape, filters = (2, 5, 120, 3 * d_g), (d_g, 3, 3, 3 * d_out_g)
        random, Z, W, b = integer_arrays(shape, filters, dtype, d_g)
        options = {"groups": 3, "pad": 1, "stride": stride}
        assert plan_of(shape, filters, dtype, **options).algorithm == "direct"
        S = matconv.conv2d(Z, W, b, **options)
        dS = random.integers(-4, 5, S.shape).astype(dtype)
        found = matconv.conv2d_backward(dS, Z, W, **options)
        options["algorithm"] = "im2col"
        assert_same(S, matconv.conv2d(Z, W, b, **options), "S")
        assert_same_gradients(found, matconv.conv2d_backward(dS, Z, W, **options))


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
    for shape, filters, options in small_groups(60, 3):
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


@pytest.mark.parametrize("dtype", DTYPES)
def test_depthwise_tiles_equal_im2col(dtype):
    count = 0
    for k, (shape, filters, options) in enumerate(depthwise(4)):
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
@pytest.mark.parametrize("activation", [*activations.EXACT[1:], "sigmoid", "silu"], ids=repr)
def test_depthwise_activation_of_many_column_runs_is_applied_once(activation, dtype):
    """The columns of a row are computed in several parts, the activation of the whole row."""
    size, layer = (2, 41, 9), {"kernel": (1, 41), "pad": (0, 20), "groups": 9}
    fused = matconv.Network(size, [matconv.Conv(9, activation=activation, **layer)], dtype)
    apart = matconv.Network(size, [matconv.Conv(9, **layer), matconv.Activation(activation)], dtype)
    random = np.random.default_rng(0)
    theta, Z = (random.integers(-1, 2, n).astype(dtype) for n in (fused.n, (2, *size)))
    assert_same(fused.forward(theta, Z), apart.forward(theta, Z))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", activations.EXACT[1:], ids=repr)
def test_depthwise_activation_of_negative_zero_has_the_same_sign(activation, dtype):
    size, layer = (5, 6, 9), {"kernel": 3, "groups": 9}
    fused = matconv.Network(size, [matconv.Conv(9, activation=activation, **layer)], dtype)
    apart = matconv.Network(size, [matconv.Conv(9, **layer), matconv.Activation(activation)], dtype)
    theta = fused.pack([(np.zeros((1, 3, 3, 9), dtype), np.full(9, -0.0, dtype))])
    Z = np.full((1, *size), -1, dtype)
    assert np.signbit(
        matconv.Network(size, [matconv.Conv(9, **layer)], dtype).forward(theta, Z)
    ).all()
    assert_same_bytes(fused.forward(theta, Z), apart.forward(theta, Z))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("d", "groups"), [(11, 11), (12, 4), (12, 3)])
def test_direct_gradient_is_added_to_that_of_another_layer(d, groups, stride, dtype):
    """The second layer that reads a value adds to dZ; integers, so that sums are exact."""
    size = (4, 64, d)  # a power of two of pixels, by which the loss divides
    gradients = []
    for algorithm in ("auto", "im2col"):
        layer = {"stride": stride, "pad": 1, "groups": groups, "algorithm": algorithm}
        layers = [
            matconv.Conv(d, 1, groups=groups, name="first", algorithm=algorithm),
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
