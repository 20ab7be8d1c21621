"""Activations in C: values and derivatives bit for bit, at their edges and in every SIMD lane."""

import numpy as np
import pytest
from support import activations
from support.activations import ALL, CLIP, LEAKY_RELU, NONE, RELU, activated, gradient
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
