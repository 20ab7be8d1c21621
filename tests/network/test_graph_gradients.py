"""Gradients of graphs: values read several times, shared parameters, the order of the sums."""

import numpy as np
import pytest
from support.passes import passes
from support.random_graphs import random_images, random_theta
from support.tolerances import assert_same, assert_same_bytes, assert_within, rounding_bound

from matconv import (
    Add,
    Clip,
    Conv,
    Dense,
    Network,
    Scale,
)

DTYPES = [np.float64, np.float32]
PIXEL = (1, 1, 1)


SHARED = {
    "conv": [Conv(2, 3, pad=1, name="a"), Conv(2, 3, pad=1, parameters="a"),
             Conv(2, 3, pad=1, parameters="a")],
    "conv-through": [Conv(2, 3, pad=1, name="a"), Conv(2, 3, pad=1, parameters="a", name="b"),
                     Conv(2, 3, pad=1, parameters="b")],
    "conv-stride": [Conv(2, 3, pad=1, name="a"), Conv(2, 3, stride=2, parameters="a")],
    "conv-no-bias": [Conv(2, 3, pad=1, bias=False, name="a"),
                     Conv(2, 3, pad=1, bias=False, parameters="a")],
    "conv-relu": [Conv(2, 3, pad=1, activation="relu", name="a"),
                  Conv(2, 3, pad=1, activation=Clip(-40, 40), parameters="a")],
    "dense": [Dense(4, name="first"), Dense(4, name="a"), Dense(4, parameters="a")],
    "scale": [Scale(name="a"), Conv(2, 1), Scale(parameters="a"), Scale(parameters="a")],
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SHARED)
def test_shared_parameters_gradient_is_the_sum_of_the_unshared(name, dtype):
    layers = SHARED[name]
    net = Network((4, 3, 2), layers, dtype, "im2col")
    copies = [type(x)(**{**vars(x), "parameters": None}) if hasattr(x, "parameters") else x
              for x in layers]  # fmt: skip
    unshared = Network((4, 3, 2), copies, dtype, "im2col")
    owners = [x for x in layers if x.parameters is None]
    assert len(net.unpack(np.zeros(net.n, dtype))) == len(owners) < len(copies)
    random = np.random.default_rng(4)
    theta = random.integers(-2, 3, net.n).astype(dtype)
    Z = random.integers(-3, 4, (3, 4, 3, 2)).astype(dtype)
    dz = random.integers(-3, 4, (3, *net.output_shape)).astype(dtype)
    # layer of each copy's parameters in the shared theta
    names, own = {}, []
    for k, layer in enumerate(layers):
        index = owners.index(layer) if layer.parameters is None else names[layer.parameters]
        names[net.names[k]] = index
        own.append(index)
    views = net.unpack(theta)
    wide = unshared.pack([views[index] for index in own])
    z, dtheta = passes(net, theta, Z, dz)
    other, separate = passes(unshared, wide, Z, dz)
    assert_same(z, other)
    expected = np.zeros_like(theta)
    for index, arrays in zip(own, unshared.unpack(separate)):
        for total, array in zip(net.unpack(expected)[index], arrays):
            total += array
    assert_same(dtheta, expected)
    assert np.count_nonzero(dtheta) >= 3


def folded(terms, order):
    """The terms added up one by one in an order."""
    terms = [terms[k] for k in order]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("several", [1, 2, 3])
def test_value_read_several_times_gradients_added_in_descending_order(several, dtype):
    count, differ = 6, 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        gains = random.standard_normal(count).astype(dtype)
        # x, then layers that multiply by a gain each, which is the gradient that they give x
        readers = [
            Scale(bias=False, inputs="x", name=f"s{k}")
            if several == 1
            else Conv(1, 1, bias=False, inputs="x", name=f"s{k}")
            if several == 2
            else Dense(1, bias=False, inputs="x", name=f"s{k}")
            for k in range(count)
        ]
        names = [layer.name for layer in readers]
        net = Network(PIXEL, [Scale(name="x"), *readers, Add(inputs=names)], dtype)
        theta = np.concatenate([[1, 0], gains]).astype(dtype)
        ones = np.ones((1, *PIXEL), dtype)
        _, dtheta = passes(net, theta, ones, ones)
        expected = folded(gains, range(count - 1, -1, -1))
        assert dtheta[1] == expected  # of x's bias
        differ += expected != folded(gains, range(count))
    assert differ >= 5


@pytest.mark.parametrize("dtype", DTYPES)
def test_step_that_reads_a_value_several_times_adds_in_ascending_order(dtype):
    count, differ = 6, 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        factors = random.standard_normal(count).astype(dtype).tolist()
        net = Network(PIXEL, [Scale(name="x"), Add(inputs=["x"] * count, factors=factors)], dtype)
        ones = np.ones((1, *PIXEL), dtype)
        _, dtheta = passes(net, np.array([1, 0], dtype), ones, ones)
        terms = np.array(factors, dtype)
        assert dtheta[1] == folded(terms, range(count))
        differ += dtheta[1] != folded(terms, range(count - 1, -1, -1))
    assert differ >= 5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["scale", "conv", "dense"])
def test_shared_parameters_gradients_added_in_descending_order(kind, dtype):
    count, differ = 6, 0
    options = {"bias": False, "name": "r0"}
    owner = {"scale": Scale(**options), "conv": Conv(1, 1, **options),
             "dense": Dense(1, **options)}[kind]  # fmt: skip
    for seed in range(20):
        gains = np.random.default_rng(seed).standard_normal(count).astype(dtype)
        layers = []
        for k in range(count):
            layers.append(Scale(bias=False, inputs="input", name=f"x{k}"))
            shared = {"inputs": f"x{k}", "name": f"r{k}", "parameters": "r0" if k else None}
            layers.append(type(owner)(**{**vars(owner), **shared}))
        layers.append(Add(inputs=[f"r{k}" for k in range(count)]))
        net = Network(PIXEL, layers, dtype)
        theta = np.concatenate([gains[:1], [1], gains[1:]]).astype(dtype)
        ones = np.ones((1, *PIXEL), dtype)
        _, dtheta = passes(net, theta, ones, ones)
        expected = folded(gains, range(count - 1, -1, -1))
        assert dtheta[1] == expected
        differ += expected != folded(gains, range(count))
    assert differ >= 5


def test_add_of_a_layer_with_itself_is_twice_the_layer():
    layers = [Conv(2, 3, name="a"), Add(inputs=["a", "a"]), Dense(3)]
    net = Network((5, 5, 1), layers)
    once = Network((5, 5, 1), [Conv(2, 3, name="a"), Dense(3)])
    theta, Z = random_theta(net, 5), random_images(net, 5)
    dz = np.random.default_rng(5).standard_normal((5, 3))
    z, dtheta = passes(net, theta, Z, dz)
    twice = theta.copy()
    twice[:20] *= 2  # exact
    expected, gradient = passes(once, twice, Z, dz)
    gradient[:20] *= 2
    assert_same_bytes(z, expected)
    assert_within(dtheta, gradient, rounding_bound(100, 1 + np.abs(gradient)))
