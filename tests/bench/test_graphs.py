"""Networks as the benchmark gives them to other libraries."""

import weakref

import graphs
import nets
import numpy as np
import pytest

import matconv
from matconv import Add, AvgPool, Clip, Conv, Dense, Dropout, MaxPool, Network, Scale, presets

#: Narrow networks with layers of all kinds.
NETWORKS = {
    "alexnet": presets.alexnet("caffenet", 3, (67, 67, 3), width=1 / 16),
    "cifar-quick": presets.cifar_quick(3),
    "dncnn": presets.dncnn(3, (9, 8, 2), width=1 / 8),
    "googlenet": presets.googlenet(3, (33, 33, 3), width=1 / 16),
    "mobilenet-v2": presets.mobilenet_v2(3, (32, 32, 3), width=1 / 8),
    "resnet18": presets.resnet(18, 3, (33, 33, 3), width=1 / 16),
    "squeezenet": presets.squeezenet("1.1", 3, (45, 45, 3), width=1 / 8),
}


def _conv(node, arrays, Z):
    W, b = (*arrays, None)[:2]
    return matconv.conv2d(Z, W, b, algorithm="im2col", **node.window.options)


def _pool(function):
    def pool(node, arrays, Z):
        window = node.window
        return function(Z, window.kernel, window.stride, pad=window.pad)

    return pool


def _lrn(node, arrays, Z):
    layer = node.layer
    return matconv.lrn(Z, layer.size, layer.k, layer.alpha, layer.beta)


FUNCTIONS = {
    "Activation": lambda node, arrays, Z: Z,
    "Add": lambda node, arrays, *Z: sum(k * z for k, z in zip(node.factors, Z, strict=True)),
    "AvgPool": _pool(matconv.avg_pool2d),
    "Concat": lambda node, arrays, *Z: np.concatenate(Z, -1),
    "Conv": _conv,
    "Dense": lambda node, arrays, Z: Z.reshape(len(Z), -1) @ arrays[0] + arrays[1],
    "LRN": _lrn,
    "MaxPool": _pool(matconv.max_pool2d),
    "Scale": lambda node, arrays, Z: arrays[0] * Z + arrays[1],
}


def _activated(z, activation):
    if activation == "relu":
        return np.maximum(z, 0)
    return np.clip(z, activation.lo, activation.hi)


@pytest.mark.parametrize("name", NETWORKS)
def test_walk_evaluated_is_the_network(name):
    network = NETWORKS[name]
    theta, (Z, _) = nets.parameters(network), nets.data(nets.Net(network), 2, np.float64)
    found = graphs.evaluate(graphs.walk(network, theta), FUNCTIONS, _activated, Z)
    expected = network.forward(theta, Z)
    # the same sums in another order, through tens of layers
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_all_kinds_are_walked():
    kinds = {layer.kind for network in NETWORKS.values() for layer in network.layers}
    assert kinds == {*graphs.KINDS, "Dropout"} == {*FUNCTIONS, "Dropout"}


def test_values_are_released_after_their_last_reading():
    layers = [
        *(Conv(4, 1, name="a"), Conv(4, 1), Dropout(0.5, name="c"), Conv(4, 1, activation="relu")),
        Add(inputs=["a", "conv4"]),
        *(Conv(4, 1), Conv(4, 1)),
    ]
    network, alive, counts = Network((1, 1, 4), layers), weakref.WeakSet(), []

    class Value:
        def __init__(self):
            alive.add(self)

    def made(node, arrays, *inputs):
        counts.append((node.name, len(alive)))
        return Value()

    walk = graphs.walk(network, np.empty(network.n))
    functions = dict.fromkeys(graphs.KINDS, made)
    graphs.evaluate(walk, functions, lambda value, activation: Value(), "image")
    # none; a; a and conv2; a and conv4; the sum; conv6
    names = ["a", "conv2", "conv4", "add5", "conv6", "conv7"]
    assert counts == list(zip(names, [0, 1, 2, 2, 1, 1], strict=True))


@pytest.mark.parametrize(
    ("layer", "window"),
    [
        (
            Conv(4, (3, 2), (2, 1), ((1, 0), (2, 1)), (1, 2), groups=2),
            ((3, 2), (2, 1), ((1, 0), (2, 1)), (1, 2), 2),
        ),
        (Conv(4, 4, pad="same"), ((4, 4), (1, 1), ((1, 2), (1, 2)), (1, 1), 1)),
        (MaxPool(3, 2, ceil=True), ((3, 3), (2, 2), ((0, 1), (0, 0)), (1, 1), 1)),
        (AvgPool("image"), ((8, 7), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)),
        (Scale(), None),
    ],
)
def test_window_of_a_layer(layer, window):
    assert graphs.window(layer, (8, 7, 2)) == window
    if window is not None:
        node = graphs.Node("x", layer, ("input",), (8, 7, 2), graphs.window(layer, (8, 7, 2)))
        assert node.whole == (layer == AvgPool("image"))
        assert node.window.even == (layer.kind == "AvgPool")


def test_channels_first_is_for_transposed_images():
    rng = np.random.default_rng(0)
    Z, W = rng.integers(-9, 9, (2, 3, 4, 5)), rng.integers(-9, 9, (60, 7))
    first = graphs.channels_first("Dense", W, (3, 4, 5))
    assert first.flags.c_contiguous
    flat = Z.transpose(0, 3, 1, 2).reshape(2, -1)
    np.testing.assert_array_equal(flat @ first.T, Z.reshape(2, -1) @ W)
    filters = rng.integers(-9, 9, (5, 3, 2, 7))
    first = graphs.channels_first("Conv", filters, (3, 4, 5))
    np.testing.assert_array_equal(first, filters.transpose(3, 0, 1, 2))


@pytest.mark.parametrize(
    ("layers", "outputs", "message"),
    [
        ([matconv.Softmax()], None, r"layer 'softmax1', Softmax\(\), is not supported"),
        ([Conv(2, 1, activation="tanh")], None, "layer 'conv1', Conv.*tanh.*, is not supported"),
        (
            [Conv(2, 1, name="a"), Conv(2, 1, parameters="a")],
            None,
            "layer 'conv2': shared parameters are not supported",
        ),
        ([Conv(2, 1, name="a"), Dense(2)], ["a", "dense2"], "named outputs are not supported"),
    ],
)
def test_walk_unsupported_networks_have_a_message(layers, outputs, message):
    network = Network((3, 3, 2), layers, outputs=outputs)
    with pytest.raises(ValueError, match=message):
        graphs.walk(network, np.empty(network.n))
    assert graphs.walk(Network((3, 3, 2), [Conv(2, 1, activation=Clip(0, 6))]), np.empty(6))
