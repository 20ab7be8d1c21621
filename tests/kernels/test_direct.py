"""Convolutions with few channels per group by loops over taps, against im2col and plain loops."""

import numpy as np
import pytest
from support import reference
from support.tolerances import assert_same, assert_within, inner_product_bound

import matconv
from matconv.kernels._conv import ConvPlan
from matconv.kernels._geometry import WindowGeometry

DTYPES = ("float64", "float32")


def cases(count, seed):
    """Shapes of Z and W, and options; depthwise, with a multiplier, and with small groups."""
    random = np.random.default_rng(seed)
    while count:
        groups = int(random.integers(2, 20))
        d_g, d_out_g = (1, 1) if random.random() < 0.4 else random.integers(1, 9, 2).tolist()
        kernel, stride, dilation = (
            tuple(random.integers(1, high, 2).tolist()) for high in (6, 4, 4)
        )
        pad = tuple(map(tuple, random.integers(0, 5, (2, 2)).tolist()))
        size = tuple(random.integers(1, 16, 2).tolist())
        fits = all(
            n + sum(sides) > (h - 1) * e
            for n, sides, h, e in zip(size, pad, kernel, dilation, strict=True)
        )
        if fits:
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
        random = np.random.default_rng(k)
        Z, W, b = (
            random.integers(-4, 5, size).astype(dtype) for size in (shape, filters, filters[3])
        )
        assert plan_of(shape, filters, dtype, **options).algorithm == "direct"
        S = matconv.conv2d(Z, W, b, relu=True, **options)
        literal = {**options, "algorithm": "im2col"}
        assert_same(S, matconv.conv2d(Z, W, b, relu=True, **literal), "S")
        dS = random.integers(-4, 5, S.shape).astype(dtype)
        found = matconv.conv2d_backward(dS, Z, W, **options)
        expected = matconv.conv2d_backward(dS, Z, W, **literal)
        for name, one, other in zip(("dZ", "dW", "db"), found, expected, strict=True):
            assert_same(one, other, f"{name} of case {k}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_direct_reals_are_within_the_bound(dtype):
    for k, (shape, filters, options) in enumerate(cases(60, 2)):
        random = np.random.default_rng(k)
        Z, W, b = (
            random.standard_normal(size).astype(dtype) for size in (shape, filters, filters[3])
        )
        S = matconv.conv2d(Z, W, b, **options)
        dS = random.standard_normal(S.shape).astype(dtype)
        found = (S, *matconv.conv2d_backward(dS, Z, W, **options))
        wide = [x.astype(np.longdouble) for x in (Z, W, b, dS)]
        exact, size = (
            (reference.conv2d(z, w, v, **options), *reference.conv2d_backward(s, z, w, **options))
            for z, w, v, s in (wide, [np.abs(x) for x in wide])
        )
        taps, positions = filters[1] * filters[2], dS.size // filters[3]
        lengths = (taps * filters[0] + 1, taps * filters[3], positions, positions)
        for name, one, truth, magnitude, K in zip(
            ("S", "dZ", "dW", "db"), found, exact, size, lengths, strict=True
        ):
            assert_within(one, truth, inner_product_bound(K, magnitude, dtype), name)


def test_direct_is_chosen_by_auto_only_for_few_channels_per_group():
    shape, pixels = (1, 9, 9, 32), {"pad": 1}
    for groups, d_out, expected in ((32, 32, True), (32, 64, True), (4, 32, True), (2, 32, False)):
        filters = (32 // groups, 3, 3, d_out)
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
