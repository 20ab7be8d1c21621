"""Finite values that overflow in Winograd's transforms: the bound, and what "auto" does then."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from support.by_im2col import conv2d as im2col
from support.by_im2col import conv2d_backward as im2col_backward
from support.tolerances import assert_same, assert_same_bytes

import matconv
from matconv.kernels import _conv as conv
from matconv.kernels import toom_cook
from matconv.kernels._geometry import WindowGeometry

DTYPES = ("float64", "float32")
TILES = [(n, r, dtype) for dtype in DTYPES for n, r in toom_cook.pairs(dtype)]
# of the largest magnitudes, and sums of them: the documentation of conv2d and conv2d_backward
STATED = {"float64": (1e303, 1e298), "float32": (1e34, 1e32)}
auto, auto_backward = (
    partial(function, algorithm="auto") for function in (matconv.conv2d, matconv.conv2d_backward)
)
winograd, winograd_backward = (
    partial(function, algorithm="winograd")
    for function in (matconv.conv2d, matconv.conv2d_backward)
)


def finite(arrays):
    return all(np.isfinite(array).all() for array in arrays if array is not None)


# The bound ----------------------------------------------------------------------------------------


def signs(matrix):
    """Images of signs, for each pair of rows, with which two directions reach their largest sums."""
    rows = np.array([[1.0 if value >= 0 else -1.0 for value in row] for row in matrix])
    return np.array([np.outer(down, right) for down in rows for right in rows])


def extreme_layer(n, r, dtype):
    """A plan whose tiles have n inputs, and Z, W, dS of -1 and 1 that make its transforms large."""
    m = n - r + 1
    A, B = toom_cook.transposed(toom_cook.output_matrix(n, m)), toom_cook.input_matrix(n)
    Z = np.tile(signs(B)[..., None], (1, 1, 1, 2))  # (l, n, n, 2): two channels
    W = signs(toom_cook.filter_matrix(n, r))[:8].transpose(1, 2, 0)  # (r, r, 8)
    W = np.stack([W, -W])
    dS = np.resize(signs(A), (len(Z), m, m))[..., None].repeat(8, axis=-1)
    geometry = WindowGeometry("conv2d", Z.shape, r, channels=8)
    assert geometry.out_shape == dS.shape
    plan = conv.ConvPlan(geometry, dtype, tile=(m, m))
    return plan, Z, W, dS


def scaled(array, size, dtype):
    """The array times a size, itself rounded towards zero so that no bound is exceeded."""
    return (array * np.nextafter(np.dtype(dtype).type(size), np.dtype(dtype).type(0))).astype(dtype)


def pairs_of_sizes(first, second, product):
    """Magnitudes of two operands up to their own limits whose product is at most the given one."""
    balanced = min(np.sqrt(product), first, second)
    yield balanced, min(product / balanced, second)
    yield first, min(product / first, second)
    yield min(product / second, first), second


@pytest.mark.parametrize("n, r, dtype", TILES)
def test_overflow_growth_values_below_the_bound_stay_finite(n, r, dtype):
    plan, Z, W, dS = extreme_layer(n, r, dtype)
    info = np.finfo(dtype)
    # 1 % for the roundings of the transforms
    limit = {
        name: 0.99 * float(info.max) / float(growth) ** 2
        for name, growth in toom_cook.overflow_growth(n, r).items()
    }
    l, d = Z.shape[0], Z.shape[-1]
    tested = 0
    for z, w in pairs_of_sizes(limit["Z"], limit["W"], limit["S"] / d):
        S = conv.forward(plan, scaled(Z, z, dtype), scaled(W, w, dtype))
        assert finite([S]), (z, w)
        tested += 1
    for s, w in pairs_of_sizes(limit["dS"], limit["W"], limit["dZ"] / 8):
        found = conv.backward(plan, scaled(dS, s, dtype), scaled(Z, 1, dtype),
                              scaled(W, w, dtype), need_dW=False, need_db=False)  # fmt: skip
        assert finite(found), (s, w)
        tested += 1
    for s, z in pairs_of_sizes(limit["dS"], limit["Z"], limit["dW"] / l):
        found = conv.backward(plan, scaled(dS, s, dtype), scaled(Z, z, dtype),
                              scaled(W, 1, dtype), need_dZ=False, need_db=False)  # fmt: skip
        assert finite(found), (s, z)
        tested += 1
    assert tested == 9


@pytest.mark.parametrize("n, r, dtype", TILES)
def test_overflow_growth_values_above_the_bound_overflow(n, r, dtype):
    """The transform of Z alone reaches its bound: 1 % more is too much, though S itself is small."""
    plan, Z, W, _ = extreme_layer(n, r, dtype)
    z = float(np.finfo(dtype).max) / float(toom_cook.overflow_growth(n, r)["Z"]) ** 2 * 1.01
    Z, W = (Z * z).astype(dtype), (W * 1e-20).astype(dtype)
    assert finite([Z, W, im2col(Z, W)])
    assert not finite([conv.forward(plan, Z, W)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_stated_bounds_hold_for_every_tile(dtype):
    """What the documentation says, from the exact matrices: no tile has a smaller bound."""
    forward, backward = STATED[dtype]
    growth = [
        (toom_cook.overflow_growth(*one), toom_cook.overflow_growth(*other))
        for one in toom_cook.pairs(dtype)
        for other in toom_cook.pairs(dtype)
    ]

    def smallest(names):
        largest = float(np.finfo(dtype).max)
        return min(
            largest / float(down[name] * right[name]) for down, right in growth for name in names
        )

    # at least, and not more than ten times too careful
    assert forward <= 0.9 * smallest(["Z", "W", "S"]) < 10 * forward
    assert backward <= 0.99 * smallest(["Z", "W", "dS", "dZ", "dW"]) < 10 * backward
    for function, number in ((matconv.conv2d, forward), (matconv.conv2d_backward, backward)):
        text = f"{number:.0e} in {dtype}".replace("e+", "e")
        assert text.split(" in ")[0] in function.__doc__, text


# What "auto" does ---------------------------------------------------------------------------------


def layer(dtype, size=1.0, kernel=3):
    """Z, W, b, dS of a geometry for which "auto" is Winograd's algorithm."""
    random = np.random.default_rng(3)
    Z = random.standard_normal((4, 26, 26, 16)) * size
    W = random.standard_normal((16, kernel, kernel, 32)) / 8
    b = random.standard_normal(32)
    dS = random.standard_normal((4, 27 - kernel, 27 - kernel, 32))
    geometry = WindowGeometry("conv2d", Z.shape, kernel, channels=32)
    assert conv.ConvPlan(geometry, dtype).tile == (6, 6)
    return [array.astype(dtype) for array in (Z, W, b, dS)]


# In tiles of 6 x 6 outputs, which `layer` has: where the factors of a single pixel are large.
PIXEL, OUTPUT = (1, 8, 8, 3), (1, 11, 11, 3)


def large(dtype):
    """A magnitude that the transform of Z cannot hold there, and im2col's sums can."""
    return float(np.finfo(dtype).max) / 16


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_conv2d_auto_overflow_repeats_the_whole_call_by_im2col(dtype, relu, with_bias):
    """One pixel is too large; tiles that do not contain it have im2col's bits as well."""
    Z, W, b, _ = layer(dtype)
    Z[PIXEL] = large(dtype)
    options = {"relu": relu, **({"b": b} if with_bias else {})}
    expected = im2col(Z, W, **options)
    assert finite([expected]) and not finite([winograd(Z, W, **{**options, "relu": False})])
    assert np.any(winograd(Z, W, **options)[0] != expected[0])  # an image without that pixel
    assert_same_bytes(auto(Z, W, **options), expected)
    out = np.full_like(expected, np.nan)
    assert auto(Z, W, out=out, **options) is out
    assert_same_bytes(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_conv2d_auto_relu_does_not_hide_a_negative_infinity(dtype):
    """sigma(-Inf) = 0 is finite, and wrong where S is positive."""
    # one product of the transformed tile is -Inf, and A' multiplies it by positive numbers only
    point = toom_cook.points(8).index(Fraction(1, 2))
    down, filters = (
        signs([matrix[point]])[0]
        for matrix in (toom_cook.input_matrix(8), toom_cook.filter_matrix(8, 3))
    )
    Z = np.tile(-down[..., None], (64, 1, 1, 8))
    W = np.tile(filters[..., None], (8, 1, 1, 8))
    growth = sum(map(abs, toom_cook.input_matrix(8)[point]))
    growth *= sum(map(abs, toom_cook.filter_matrix(8, 3)[point]))
    size = np.sqrt(float(np.finfo(dtype).max) / 8 * 1.05) / float(growth)
    Z, W = (Z * size).astype(dtype), (W * size).astype(dtype)
    assert conv.ConvPlan(WindowGeometry("x", Z.shape, 3, channels=8), dtype).tile == (6, 6)
    expected = im2col(Z, W, relu=True)
    assert finite([expected]) and expected.any()
    assert np.isneginf(winograd(Z, W)).all() and not winograd(Z, W, relu=True).any()
    assert_same_bytes(auto(Z, W, relu=True), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_conv2d_auto_finite_result_is_not_repeated(dtype):
    """Also where the sum of all results overflows: no false alarm."""
    Z, W, b, dS = layer(dtype)
    Z *= np.dtype(dtype).type(float(np.finfo(dtype).max) / 1e4)
    with np.errstate(over="ignore"):
        assert not np.isfinite(np.abs(winograd(Z, W, b)).sum())
    assert_same_bytes(auto(Z, W, b), winograd(Z, W, b))
    assert np.any(winograd(Z, W, b) != im2col(Z, W, b))
    for one, other in zip(auto_backward(dS / 1e6, Z, W), winograd_backward(dS / 1e6, Z, W)):
        assert finite([one])
        assert_same_bytes(one, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["Z", "W", "b"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_conv2d_auto_nonfinite_operand_keeps_winograd(dtype, which, value):
    # which of two NaN a sum hands on depends on the order of its operands
    operands = dict(zip("ZWb", layer(dtype)))
    operands[which][(0,) * operands[which].ndim] = value
    assert_same(auto(**operands, relu=True), winograd(**operands, relu=True))
    # not even where another value overflows
    operands["Z"][PIXEL] = large(dtype)
    assert_same(auto(**operands), winograd(**operands))


@pytest.mark.parametrize("dtype", DTYPES)
def test_conv2d_auto_result_that_is_infinite_is_im2cols(dtype):
    Z, W, b, _ = layer(dtype)
    Z[1, 12, 12] = np.finfo(dtype).max
    W[:, 1, 1] = 2
    expected = im2col(Z, W, b)
    assert np.isinf(expected[1]).any() and finite([expected[0]])
    assert_same_bytes(auto(Z, W, b), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_conv2d_auto_overflow_of_strided_operands(dtype):
    Z, W, b, _ = layer(dtype)
    Z[PIXEL] = large(dtype)
    wide = np.zeros((8, *Z.shape[1:]), dtype)
    wide[::2] = Z
    expected = im2col(Z, W, b)
    assert_same_bytes(auto(wide[::2], np.asfortranarray(W), b), expected)
    assert_same_bytes(auto(Z.astype(Z.dtype.newbyteorder()), W, b), expected)


NEEDS = [(True, True, True), (True, False, False), (False, True, False), (False, True, True),
         (True, False, True)]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("needs", NEEDS, ids=str)
@pytest.mark.parametrize("which", ["dS", "Z", "W"])
def test_conv2d_backward_auto_overflow_repeats_the_whole_call_by_im2col(dtype, needs, which):
    Z, W, _, dS = layer(dtype)
    operands = {"dS": dS, "Z": Z, "W": W}
    place = {"dS": OUTPUT, "Z": PIXEL, "W": (3, 1, 1, 5)}[which]
    operands[which][place] = large(dtype)
    used = {"dS": True, "Z": needs[1], "W": needs[0]}[which]
    options = dict(zip(("need_dZ", "need_dW", "need_db"), needs))
    expected = im2col_backward(**operands, **options)
    plain = winograd_backward(**operands, **options)
    assert finite(expected)
    overflows = used and (which != "W" or not finite(plain))
    assert finite(plain) != overflows
    found = auto_backward(**operands, **options)
    for one, other, need in zip(found, expected if overflows else plain, needs):
        assert (one is not None) == need
        if need:
            assert_same_bytes(one, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["dS", "Z", "W"])
def test_conv2d_backward_auto_nonfinite_operand_keeps_winograd(dtype, which):
    Z, W, _, dS = layer(dtype)
    operands = {"dS": dS, "Z": Z, "W": W}
    operands[which][(0,) * 4] = np.nan
    operands["dS"][OUTPUT] = large(dtype)
    for one, other in zip(auto_backward(**operands), winograd_backward(**operands)):
        assert_same(one, other)


@pytest.mark.parametrize("dtype", DTYPES)
def test_conv2d_backward_auto_operand_that_is_not_used_may_hold_a_nan(dtype):
    """dZ is computed from W, dW from Z."""
    Z, W, _, dS = layer(dtype)
    dS[OUTPUT] = large(dtype)
    nan_Z, nan_W = np.full_like(Z, np.nan), np.full_like(W, np.nan)
    dZ, _, _ = auto_backward(dS, nan_Z, W, need_dW=False)
    assert_same_bytes(dZ, im2col_backward(dS, Z, W)[0])
    _, dW, _ = auto_backward(dS, Z, nan_W, need_dZ=False)
    assert_same_bytes(dW, im2col_backward(dS, Z, W)[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_networks_keep_their_plan(dtype):
    """A network's result overflows where conv2d's does not."""
    Z, W, b, _ = layer(dtype)
    # the plan of a shard has tiles of its own: large numbers everywhere in one image
    Z[1, ..., 3] = np.copysign(np.finfo(dtype).max / 2, Z[1, ..., 3])
    net = matconv.Network(Z.shape[1:], [matconv.Conv(32, 3)], dtype, "auto")
    theta = net.pack([(W, b)])
    S = net.forward(theta, Z)
    assert not finite([S[1]]) and finite([S[[0, 2, 3]]])
    assert not finite([net.freeze(theta)(Z)[1]])
    assert finite([auto(Z, W, b)])
