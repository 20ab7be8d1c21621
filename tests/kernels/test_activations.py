"""Activations in C: values and derivatives bit for bit, at their edges and in every SIMD lane."""

import numpy as np
import pytest
from support import activations
from support.activations import (
    ALL,
    CLIP,
    LEAKY_RELU,
    NEEDS_INPUT,
    NONE,
    RELU,
    ROUNDED,
    USES_ALPHA,
    activated,
    gradient,
)
from support.capi import DTYPES, OK, Activation, entry, poisoned
from support.tolerances import assert_within, rounding_bound

import matconv

ids = dict(
    zip(ALL, ("none", "relu", "leaky", "leaky steep", "clip", "clip 0 up", "clip down", "0.5"))
)


def forward(S, b, activation):
    """Z of bias_activation."""
    Z = poisoned(S.shape, S.dtype)
    given = Activation(*activation) if activation else None
    rows = S.size // S.shape[-1]
    assert entry("bias_activation", S.dtype)(rows, S.shape[-1], S, b, given, Z) == OK
    return Z


def backward(dZ, Z, activation, need_db=True):
    """dS and db of bias_activation_backward."""
    dS = poisoned(Z.shape, Z.dtype)
    db = poisoned(Z.shape[-1:], Z.dtype) if need_db else None
    given = Activation(*activation) if activation else None
    rows = Z.size // Z.shape[-1]
    called = entry("bias_activation_backward", Z.dtype)
    assert called(rows, Z.shape[-1], dZ, Z, given, dS, db) == OK
    return dS, db


def same_bits(actual, expected):
    return actual.dtype == expected.dtype and actual.tobytes() == expected.tobytes()


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


@pytest.fixture(params=ALL, ids=ids.get)
def activation(request):
    return request.param


def test_forward_edges_bits(dtype, activation):
    """Signed zeros, NaN, infinities, subnormals, the limits and their neighbours."""
    S = activations.edges(dtype, *activation[1:]).reshape(1, -1)
    assert same_bits(forward(S, None, activation), activated(S, *activation))
    zeros = np.zeros(S.size, dtype)
    assert same_bits(forward(S, zeros, activation), activated(S + zeros, *activation))
    nan = np.isnan(S)
    assert nan.sum() == 2
    assert np.isnan(forward(S, None, activation)[nan]).all()


def test_backward_edges_bits(dtype, activation):
    """Every edge of Z with every edge of dZ."""
    edges = activations.edges(dtype, *activation[1:])
    Z = np.repeat(edges, edges.size).reshape(-1, edges.size)
    dZ = np.tile(edges, edges.size).reshape(Z.shape)
    expected = gradient(dZ, Z, *activation)
    for need_db in (True, False):
        assert same_bits(backward(dZ, Z, activation, need_db)[0], expected)


@pytest.mark.parametrize("channels", [*range(1, 36), 63, 64, 65])
def test_forward_and_backward_bits_for_any_number_of_channels(dtype, activation, channels):
    """No lane of a vector and no remainder of a loop differs."""
    random = np.random.default_rng(channels)
    S, dZ = random.standard_normal((2, 5, channels)).astype(dtype)
    b = random.standard_normal(channels).astype(dtype)
    assert same_bits(forward(S, None, activation), activated(S, *activation))
    Z = forward(S, b, activation)
    assert same_bits(Z, activated(S + b, *activation))
    dS, db = backward(dZ, Z, activation)
    assert same_bits(dS, gradient(dZ, Z, *activation))
    expected = np.zeros(channels, dtype)
    for row in dS:
        expected += row
    assert same_bits(db, expected)
    assert same_bits(backward(dZ, Z, activation, need_db=False)[0], dS)


def test_null_activation_is_none(dtype):
    S, dZ = np.random.default_rng(0).standard_normal((2, 3, 7)).astype(dtype)
    b = np.arange(7).astype(dtype)
    for bias in (b, None):
        none = forward(S, bias, (NONE, np.nan, np.nan))
        assert same_bits(none, S + b if bias is not None else S)
        assert same_bits(forward(S, bias, None), none)
    assert same_bits(backward(dZ, S, None)[0], dZ)
    assert same_bits(backward(dZ, S, None)[1], backward(dZ, S, (NONE, 0, 0))[1])


def test_relu_has_the_bits_of_python(dtype):
    random = np.random.default_rng(1)
    S, dZ = random.standard_normal((2, 40, 19)).astype(dtype)
    S[0, :14] = activations.edges(dtype)
    b = random.standard_normal(19).astype(dtype)
    Z = forward(S, b, (RELU, 0, 0))
    assert same_bits(Z, matconv.bias_relu(S, b))
    dS, db = backward(dZ, Z, (RELU, 0, 0))
    expected = matconv.bias_relu_backward(dZ, Z)
    assert same_bits(dS, expected[0]) and same_bits(db, expected[1])


def test_clip_from_zero_up_is_relu(dtype):
    S = activations.edges(dtype, 1.5).reshape(2, -1)
    dZ = np.random.default_rng(2).standard_normal(S.shape).astype(dtype)
    Z = forward(S, None, (RELU, 0, 0))
    finite = ~np.isinf(Z)
    assert same_bits(forward(S, None, (CLIP, 0, np.inf)), Z)
    dS = backward(dZ, Z, (CLIP, 0, np.inf))[0]
    assert same_bits(dS[finite], backward(dZ, Z, (RELU, 0, 0))[0][finite])


@pytest.mark.parametrize("activation", [a for a in ALL if a[0] in (LEAKY_RELU, CLIP)], ids=ids.get)
def test_backward_is_the_derivative_of_forward(activation):
    """Central differences, exact where sigma is linear but for a rounding of alpha S."""
    step = 2.0**-20
    S = np.round(np.random.default_rng(3).standard_normal((20, 11)) * 2**9) / 2**10
    kinks = [0.0] if activation[0] == LEAKY_RELU else [x for x in activation[1:] if np.isfinite(x)]
    assert all(np.abs(S - kink).min() > 2 * step for kink in kinks)
    up, down = forward(S + step, None, activation), forward(S - step, None, activation)
    dS, _ = backward(np.ones_like(S), forward(S, None, activation), activation)
    # S + step and S - step are exact; each product with alpha is rounded once
    bound = rounding_bound(0.5, (np.abs(up) + np.abs(down)) / (2 * step))
    assert_within((up - down) / (2 * step), dS, bound)


def test_leaky_zero_has_the_slope_of_negative_numbers(dtype):
    Z = np.array([[0.0, -0.0, -1e-30, 1e-30]], dtype)
    dS, _ = backward(np.ones_like(Z), Z, (LEAKY_RELU, 0.25, 0))
    assert dS.tolist() == [[0.25, 0.25, 0.25, 1]]


def test_members_that_a_code_does_not_need_are_ignored(dtype):
    S = activations.edges(dtype).reshape(1, -1)
    for code, used in ((NONE, 0), (RELU, 0), (LEAKY_RELU, 1)):
        given = [0.5, 0.5][:used]
        plain = forward(S, None, (code, *given, *[0.0] * (2 - used)))
        other = forward(S, None, (code, *given, *[-np.inf] * (2 - used)))
        assert same_bits(plain, other)


# The largest relative error in units of eps. The argument of an exponential is rounded once, the
# series, the two factors 2^n, and the quotients and products with it a few times more.
ERROR = 4


def filled(activation):
    """An activation with 0 for numbers that it does not use."""
    code, *numbers = activation
    return code, *np.nan_to_num(numbers).tolist()


def spread(dtype):
    """Elements of all sizes, so that sigma and sigma' have all their values."""
    random = np.random.default_rng(5)
    sizes = (1e-30, 1e-9, 1e-3, 1, 1, 1, 10, 30)
    S = np.concatenate([size * random.standard_normal(701) for size in sizes])
    return S.astype(dtype).reshape(1, -1)


def scale_of(S, Z, code):
    """The sizes of the terms that a result is the sum of, and of what is subnormal."""
    S, Z = np.abs(S), np.abs(Z)
    if code in (activations.HARD_SIGMOID, activations.HARD_SWISH):
        Z = np.maximum(Z, 1 + S)
    if code == activations.GELU:
        # erfc(x) is multiplied by e^(2 x dx) if x is rounded by dx; SciPy's has no subnormal values
        limits = np.finfo(S.dtype)
        Z = Z * (1 + S * S) + (1 + S) * limits.tiny / limits.eps
    return Z + (1 + S) * np.finfo(S.dtype).tiny


@pytest.mark.parametrize("activation", ROUNDED, ids=str)
def test_rounded_forward_is_within_a_few_units_in_the_last_place(dtype, activation):
    S = spread(dtype)
    given = filled(activation)
    expected = activated(S.astype(np.longdouble), *_exactly(given, dtype))
    Z = forward(S, None, given)
    bound = rounding_bound(ERROR, scale_of(S, expected, activation[0]), dtype)
    assert_within(Z, expected, bound)
    b = np.random.default_rng(6).standard_normal(S.size).astype(dtype)
    assert same_bits(forward(S, b, given), forward(S + b, None, given))


def _exactly(activation, dtype):
    """The numbers of an activation, rounded to the dtype."""
    code, *numbers = activation
    return code, *(float(np.dtype(dtype).type(x)) for x in numbers)


@pytest.mark.parametrize("activation", [a for a in ROUNDED if a[0] not in NEEDS_INPUT], ids=str)
def test_rounded_backward_is_that_of_the_exact_derivative(dtype, activation):
    S = spread(dtype)
    given = _exactly(filled(activation), dtype)
    Z = forward(S, None, given)
    dZ = np.random.default_rng(7).standard_normal(S.shape).astype(dtype)
    if activation[0] == activations.HARD_SIGMOID:
        # near a kink the rounded output may be on the other piece
        u = given[1] * S.astype(np.longdouble) + given[2]
        inside = np.minimum(np.abs(u), np.abs(u - 1)) > 1e-5
        S, Z, dZ = S[:, inside[0]], Z[:, inside[0]], dZ[:, inside[0]]
    dS, db = backward(dZ, Z, given)
    expected = activations.slope(S, *given) * dZ
    # sigma' is computed from a z with a relative error, from sums with 1 or alpha
    top = max(1, given[1])
    assert_within(dS, expected, rounding_bound(4 * ERROR * top, np.abs(dZ), dtype))
    assert same_bits(db, np.zeros_like(db) + dS[0])
    assert same_bits(backward(dZ, Z, given, need_db=False)[0], dS)


@pytest.mark.parametrize("activation", ROUNDED, ids=str)
def test_rounded_forward_at_the_limits(dtype, activation):
    """NaN remains NaN; infinities and the largest numbers give the limits of sigma."""
    given = filled(activation)
    limits = np.finfo(dtype)
    S = np.array([[np.nan, -np.nan, np.inf, -np.inf, limits.max, -limits.max, 0, -0.0]], dtype)
    Z = forward(S, None, given)
    assert np.isnan(Z[0, :2]).all() and not np.isnan(Z[0, 2:]).any()
    np.testing.assert_array_equal(Z[0, 2:], activated(S, *given)[0, 2:])
    # and so do the elements beside a NaN in a vector
    S = np.full((1, 67), 0.5, dtype)
    for k in (0, 1, 33, 66):
        one = S.copy()
        one[0, k] = np.nan
        Z = forward(one, None, given)
        assert np.isnan(Z[0, k]) and np.isfinite(np.delete(Z, k)).all()


@pytest.mark.parametrize("activation", ROUNDED, ids=str)
@pytest.mark.parametrize("channels", [*range(1, 20), 33])
def test_rounded_bits_for_any_number_of_channels(dtype, activation, channels):
    """No lane of a vector and no remainder of a loop differs."""
    given = filled(activation)
    S = np.random.default_rng(channels).standard_normal((3, channels)).astype(dtype)
    Z = forward(S, None, given)
    for k in range(channels):
        assert same_bits(forward(S[:, k : k + 1].copy(), None, given), Z[:, k : k + 1])
    row = forward(S, np.zeros(channels, dtype), given)
    assert same_bits(row, Z)


def test_support_knows_every_code():
    codes = {code for code, *_ in (*ALL, *ROUNDED)}
    assert codes == set(range(max(codes) + 1))
    assert {a[0] for a in (*ALL, *ROUNDED) if not np.isnan(a[1])} == set(USES_ALPHA)
