"""Layers as values: one form of each size, equality, texts, and what is copied."""

import copy
import dataclasses
import json
import pickle
import typing

import numpy as np
import pytest
from support.networks import MIXED, images
from support.operators import Index

from matconv import (
    Activation,
    Add,
    AvgPool,
    Clip,
    Conv,
    Dense,
    LeakyReLU,
    MaxPool,
    Network,
    load_model,
    save_model,
)
from matconv.layers import LAYERS, Layer, Parameter

THREES = (
    3,
    np.int8(3),
    np.uint64(3),
    np.array(3),
    (3, 3),
    [3, 3],
    np.array([3, 3]),
    np.array([3, 3], np.uint8),
    (np.int16(3), 3),
    [3, np.array(3)],
)


@pytest.mark.parametrize("size", [*THREES, Index(3), (Index(3), 3)], ids=repr)
def test_size_any_spelling_gives_equal_layers(size):
    for name in ("kernel", "stride", "dilation"):
        layer = Conv(4, **{"kernel": 2, name: size})
        expected = Conv(4, **{"kernel": 2, name: 3})
        assert getattr(layer, name) == (3, 3)
        assert all(type(side) is int for side in getattr(layer, name))
        assert layer == expected and hash(layer) == hash(expected)
    for kind in (MaxPool, AvgPool):
        assert kind(size) == kind(3) == kind(3, 3) == kind(3, size)
        assert kind(size).stride == (3, 3)
        assert hash(kind(size)) == hash(kind(3, 3))


@pytest.mark.parametrize(
    ("pad", "sides"),
    [
        (1, ((1, 1), (1, 1))),
        ([1, 2], ((1, 1), (2, 2))),
        (np.array([1, 2]), ((1, 1), (2, 2))),
        ([[1, 2], [3, 4]], ((1, 2), (3, 4))),
        (np.array([[1, 2], [3, 4]], np.uint8), ((1, 2), (3, 4))),
        (((1, 1), (1, 1)), ((1, 1), (1, 1))),
        ((1, (0, 2)), ((1, 1), (0, 2))),
        ("same", "same"),
        (np.str_("same"), "same"),
    ],
    ids=repr,
)
def test_pad_any_spelling_is_four_sided_or_same(pad, sides):
    for layer in (Conv(4, 5, pad=pad), MaxPool(5, pad=pad), AvgPool(5, pad=pad)):
        assert layer.pad == sides
        assert layer == dataclasses.replace(layer, pad=sides)
        json.dumps(layer.pad)


def test_integers_of_numpy_become_int():
    layer = Conv(np.int64(4), 3, groups=np.uint8(2))
    assert type(layer.channels) is int and type(layer.groups) is int
    assert type(Dense(np.array(3)).units) is int
    assert layer == Conv(4, 3, groups=2) and Dense(np.int8(3)) == Dense(3)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Conv(4, 3), Conv(5, 3)),
        (Conv(4, 3), Conv(4, (3, 2))),
        (Conv(4, 3), Conv(4, 3, activation="relu")),
        (Conv(4, 3), Conv(4, 3, bias=False)),
        (Conv(4, 3), Conv(4, 3, parameters="conv1")),
        (Dense(3, LeakyReLU(0.1)), Dense(3, LeakyReLU(0.2))),
        (Activation(Clip(0, 6)), Activation(Clip(0, 5))),
        (Add(inputs=("a", "b")), Add(inputs=("b", "a"))),
        (Add(inputs=("a", "b")), Add(inputs=("a", "b"), factors=(1, -1))),
        (Conv(4, 3), Conv(4, 3, algorithm="im2col")),
        (Conv(4, 3, pad="same"), Conv(4, 3, pad=1)),
        (MaxPool(2), AvgPool(2)),
        (MaxPool(2), MaxPool(2, stride=1)),
        (Dense(3), Dense(3, activation="relu")),
    ],
)
def test_layers_that_compute_differently_are_unequal(one, other):
    assert one != other


@pytest.mark.parametrize("layer", [*MIXED, MaxPool((2, 3), stride=(3, 2)), AvgPool(3, 1, "same")])
def test_repr_makes_an_equal_layer(layer):
    assert eval(repr(layer)) == layer
    assert type(layer)(**layer.arguments()) == layer


def test_repr_and_description_have_the_shortest_form():
    layer = Conv(
        4, (3, 3), stride=[1, 2], pad=((1, 1), (0, 0)), dilation=np.array([1, 1]), activation="relu"
    )
    assert repr(layer) == (
        "Conv(channels=4, kernel=3, stride=(1, 2), pad=(1, 0), dilation=1, groups=1, "
        "activation='relu', algorithm=None)"
    )
    assert repr(MaxPool((2, 2), (2, 2))) == "MaxPool(window=2, stride=None, pad=0)"
    assert repr(MaxPool((2, 1), 2)) == "MaxPool(window=(2, 1), stride=2, pad=0)"
    net = Network((9, 9, 1), [layer, MaxPool(np.array([2, 2]), (1, 1)), Dense(np.int64(2))])
    lines = [line.split("  ")[0] for line in net.summary().splitlines()]
    assert lines[3:6] == [
        "Conv(4, kernel=3, stride=(1, 2), pad=(1, 0), relu)",
        "MaxPool(2, stride=1)",
        "Dense(2)",
    ]
    assert net.description()["layers"][:2] == [
        {
            "kind": "Conv", "channels": 4, "kernel": 3, "stride": [1, 2], "pad": [1, 0],
            "dilation": 1, "groups": 1, "activation": "relu",
        },
        {"kind": "MaxPool", "window": 2, "stride": 1, "pad": 0},
    ]  # fmt: skip
    assert json.loads(json.dumps(net.description())) == net.description()


def test_replace_checks_and_keeps_the_rest():
    layer = Conv(4, 3, pad=1)
    assert dataclasses.replace(layer, kernel=[5, 5]) == Conv(4, 5, pad=1)
    assert dataclasses.replace(MaxPool(2), window=3) == MaxPool(3, stride=2)
    with pytest.raises(TypeError, match=r"^Conv: kernel must be .*, got 2\.5 \(float\)$"):
        dataclasses.replace(layer, kernel=2.5)
    if hasattr(copy, "replace"):  # Python 3.13
        assert copy.replace(layer, kernel=5) == Conv(4, 5, pad=1)


def test_layer_attributes_cannot_be_assigned():
    layer = Conv(4, 3)
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"^cannot assign to field 'kernel'$"):
        layer.kernel = 5
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"^cannot assign to field 'depth'$"):
        layer.depth = 5
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"^cannot delete field 'kernel'$"):
        del layer.kernel
    assert layer == Conv(4, 3)


def test_layers_compare_and_hash_by_their_arguments():
    layer, same, other = Conv(4, 3), Conv(4, [3, 3]), Conv(4, 3, pad=1)
    assert (layer == same, layer == other, layer == Conv) == (True, False, False)
    assert {layer: 1} == {same: 1}
    assert MaxPool(2) != AvgPool(2)


@pytest.mark.catalogue(76)
def test_lists_changed_afterwards_change_nothing(tmp_path):
    kernel, stride, dilation = [3, 3], [1, 1], np.array([1, 1])
    pad, window, shape = [[1, 1], [1, 1]], np.array([2, 2]), [8, 8, 1]
    layers = [
        Conv(4, kernel, stride, pad, dilation, algorithm="winograd"),
        MaxPool(window, window),
        Dense(5),
    ]
    net = Network(shape, layers)
    theta, (Z, _) = net.init(0), images(net, 3)
    expected, text, key = net.forward(theta, Z), net.summary(), hash(net)
    kernel[0], stride[0], dilation[0], pad[0][1], window[0], shape[0] = 5, 2, 3, 2, 4, 9
    pad[1] = "same"
    layers.clear()
    assert net.summary() == text and hash(net) == key
    assert net.input_shape == (8, 8, 1)
    np.testing.assert_array_equal(net.forward(theta, Z), expected)
    path = tmp_path / "model.npz"
    save_model(path, net, theta)
    back = load_model(path)
    assert back.network == net
    np.testing.assert_array_equal(back.network.forward(back.theta, Z), expected)
    # a plan of another algorithm is made of the layers again
    again = net.with_algorithm("im2col").with_algorithm("auto")
    np.testing.assert_array_equal(again.forward(theta, Z), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_saved_and_loaded_network_equals_and_hashes_equal(dtype, tmp_path):
    layers = [
        *MIXED[:-1],
        Dense(np.int64(3)),
    ]
    layers[0] = Conv(np.uint8(4), np.array([3, 3]), pad="same", algorithm="im2col")
    net = Network(np.array([9, 8, 2]), layers, dtype)
    path = tmp_path / "model.npz"
    save_model(path, net, net.init(0))
    back = load_model(path).network
    assert back == net and hash(back) == hash(net)
    assert back.layers == net.layers and hash(back.layers) == hash(net.layers)
    assert {net: 1}[back] == 1


def test_networks_equal_only_with_equal_parts():
    net = Network((8, 8, 1), [Conv(4, 3), Dense(10)])
    assert net == Network([8, np.int8(8), 1], (Conv(4, [3, 3]), Dense(10)), "float64")
    others = [
        Network((8, 9, 1), [Conv(4, 3), Dense(10)]),
        Network((8, 8, 1), [Conv(4, 3), Dense(9)]),
        Network((8, 8, 1), [Conv(4, 3), Dense(10)], np.float32),
        net.with_algorithm("winograd" if net.algorithm == "im2col" else "im2col"),
    ]
    assert all(net != other for other in others)
    assert len({net, *others}) == 5
    assert net != "net" and net is not None


# Where the classes are


def test_classes_are_named_by_their_public_place():
    for one in (Layer, Parameter, *LAYERS.values()):
        assert one.__module__ == "matconv.layers"
    assert repr(Conv) == "<class 'matconv.layers.Conv'>"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_names_the_public_place_only(protocol):
    data = pickle.dumps(MIXED, protocol)
    assert b"matconv.layers" in data
    for file in ("base", "elementwise", "filters", "pooling", "shaping", "windows"):
        assert f"layers.{file}".encode() not in data
    assert pickle.loads(data) == MIXED


def test_pickle_of_a_layer_from_before_the_files_were_divided_loads():
    data = (
        b"ccopy_reg\n_reconstructor\n(cmatconv.layers\nDense\nc__builtin__\nobject\nNtR"
        b"(dVname\nNsVinputs\nNsVunits\nI3\nsVactivation\nVrelu\nsVbias\nI01\n"
        b"sVparameters\nNsb."
    )
    assert pickle.loads(data) == Dense(3, activation="relu")


@pytest.mark.parametrize("kind", LAYERS)
def test_type_hints_of_a_class_can_be_resolved(kind):
    hints = typing.get_type_hints(LAYERS[kind])
    assert {field.name for field in dataclasses.fields(LAYERS[kind])} <= set(hints)
