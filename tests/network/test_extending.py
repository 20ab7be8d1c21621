"""Layer classes that the library does not know are refused."""

import dataclasses
import os
import re

import numpy as np
import pytest
from support.networks import images

from matconv import (
    AvgPool,
    Conv,
    Dense,
    FormatError,
    MaxPool,
    Network,
    Objective,
    load_model,
    minimize,
    save_model,
)
from matconv.activations import ACTIVATIONS, FUNCTIONS, SHORT_NAMES
from matconv.layers import LAYERS, Layer

NAMES = ", ".join(map(repr, (*FUNCTIONS, *SHORT_NAMES)))
KNOWN_ACTIVATIONS = f"{NAMES}, {', '.join(ACTIVATIONS)} or None"
KNOWN = ", ".join(LAYERS)


class Double(Layer):
    """A layer of the user's own."""

    kind = "Double"


class Disguised(Layer):
    """A layer of the user's own by the name of another kind."""

    kind = "MaxPool"


class Leaky(Conv):
    """A subclass that might compute something else."""

    def words(self, shapes, function, algorithm):
        return super().words(shapes, function, "im2col")


class Renamed(Dense):
    """A subclass by another name."""

    kind = "Renamed"


class Further(MaxPool):
    """A subclass with one more argument."""

    factor: int = 2


STRANGE = {
    "another class": Double(),
    "another class by a known kind": Disguised(),
    "subclass with its own words": Leaky(1, 1),
    "subclass of another kind": Renamed(2),
    "subclass with a further argument": Further(1),
}


def test_layer_classes_are_listed_by_kind():
    assert list(LAYERS) == sorted(LAYERS)
    for kind, layer in LAYERS.items():
        assert layer.kind == kind == layer.__name__


@pytest.mark.parametrize("name", STRANGE)
def test_layer_of_an_unknown_class_makes_no_network(name):
    layer = STRANGE[name]
    message = (
        f"Network: layer 1 must be of one of the classes {KNOWN}, got {type(layer).__qualname__}"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Network((4, 4, 1), [Conv(1, 1), layer])


@pytest.mark.parametrize(
    ("layer", "changes", "message"),
    [
        (
            Conv(2, 1),
            {"activation": "swoosh"},
            f"layer 0 (Conv): activation must be {KNOWN_ACTIVATIONS}, got 'swoosh'",
        ),
        (
            Dense(2),
            {"activation": "Sigmoid"},
            f"layer 0 (Dense): activation must be {KNOWN_ACTIVATIONS}, got 'Sigmoid'",
        ),
        (MaxPool(2), {"stride": [2, 2]}, "layer 0 (MaxPool) has changed: "),
        (AvgPool(2), {"pad": "full"}, "layer 0 (AvgPool): pad must be sizes or 'same', got"),
    ],
)
def test_layer_changed_by_force_is_not_written(layer, changes, message, tmp_path):
    layer = dataclasses.replace(layer)
    net = Network((4, 4, 1), [layer])
    for name, value in changes.items():
        object.__setattr__(layer, name, value)
    theta = net.init(0)
    calls = (
        lambda: save_model(tmp_path / "model.npz", net, theta),
        lambda: net.export(theta, tmp_path / "net.matconv"),
        lambda: net.freeze(theta),
        net.description,
    )
    for call in calls:
        with pytest.raises(ValueError, match=re.escape(message)):
            call()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "layer", [5, "Conv", None, Double, Conv, type("NoLayer", (), {"kind": "Conv"})()]
)
def test_object_that_is_no_layer_is_refused(layer):
    with pytest.raises(TypeError, match=r"^Network: layer 1 must be a layer, got "):
        Network((4, 4, 1), [Conv(1, 1), layer])


# What save_model writes, load_model reads; what it refuses, it does not write


GOOD = {
    "labels of numpy": {"labels": np.array([5, 6])},
    "labels, tuple": {"labels": ("a", "b")},
    "labels, generator": {"labels": (text for text in "ab")},
    "labels, numpy text": {"labels": np.array(["a", "b"])},
    "labels, 64 bits": {"labels": [2**63 - 1, -(2**63)]},
    "labels, half a surrogate pair": {"labels": ["\ud800", "b"]},
    "preprocessing of numpy": {"preprocessing": {"shift": np.float32(1), "scale": np.int8(2)}},
    "training with NaN": {"training": {"f": float("nan"), "g": [np.inf, np.float32(1)]}},
    "training, nested": {"training": {"a": [[{"b": (1, None, True)}]]}},
    "training of arrays": {"training": {"a": np.arange(3), "b": np.array("x")}},
    "training, large integer": {"training": {"a": 10**400}},
}  # fmt: skip

BAD = {
    "labels, too few": ({"labels": ["a"]}, ValueError, "labels: 1 labels, the network has 2"),
    "labels, mixed": ({"labels": ["a", 1]}, ValueError, "labels: must be all str or all int"),
    "labels, bool": ({"labels": [True, False]}, ValueError, "labels: must be all str or all int"),
    "labels, float": ({"labels": [1.0, 2.0]}, ValueError, "labels: must be all str or all int"),
    "labels, None": ({"labels": [None, None]}, ValueError, "labels: must be all str or all int"),
    "labels, beyond 64 bits": ({"labels": [2**63, 0]}, ValueError, "an integer beyond 64 bits"),
    "labels, nested": ({"labels": [[1], [2]]}, ValueError, "labels: must be all str or all int"),
    "shift is NaN": (
        {"preprocessing": {"shift": np.nan, "scale": 1}}, ValueError, "'shift' must be finite",
    ),
    "scale is infinite": (
        {"preprocessing": {"shift": 0, "scale": np.inf}}, ValueError, "'scale' must be finite",
    ),
    "scale is a text": (
        {"preprocessing": {"shift": 0, "scale": "1"}}, ValueError, "'scale' must be a number",
    ),
    "scale is too large": (
        {"preprocessing": {"shift": 0, "scale": 10**400}}, ValueError, "'scale' must be finite",
    ),
    "scale is missing": (
        {"preprocessing": {"shift": 0}}, ValueError, "expected 'shift' and 'scale'",
    ),
    "training is a list": ({"training": [1]}, TypeError, "training must be a dict, got list"),
}  # fmt: skip


def two_outputs():
    net = Network((2, 2, 1), [Dense(2)])
    return net, net.init(0)


@pytest.mark.parametrize("name", GOOD)
def test_save_model_arguments_can_be_loaded(name, tmp_path):
    net, theta = two_outputs()
    path = tmp_path / "model.npz"
    save_model(path, net, theta, **GOOD[name])
    model = load_model(path)
    assert model.network == net and model.theta.tobytes() == theta.tobytes()
    assert model.predict(np.zeros((1, 2, 2, 1))).shape == (1,)
    # and saved again, it is the same file
    again = tmp_path / "again.npz"
    save_model(again, model.network, model.theta, model.labels, model.preprocessing, model.training)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", BAD)
def test_save_model_refuses_what_load_model_refuses(name, tmp_path):
    net, theta = two_outputs()
    arguments, kind, message = BAD[name]
    path = tmp_path / "model.npz"
    path.write_bytes(b"before")
    with pytest.raises(kind, match=re.escape(message)):
        save_model(path, net, theta, **arguments)
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["model.npz"]
    with pytest.raises(FormatError):
        load_model(path)


def test_network_without_parameters_is_saved_and_evaluated(tmp_path):
    net, theta, (Z, y), expected = without_parameters()
    path = tmp_path / "model.npz"
    save_model(path, net, theta)
    model = load_model(path)
    assert model.network == net
    assert model.network.forward(model.theta, Z).tobytes() == expected.tobytes()
    f = Objective(net, Z, y, "softmax", C=2.0)
    value, gradient = f.value_and_gradient(theta)
    assert value == f(theta) > 0 and gradient.shape == (0,)
    assert net.unpack(theta) == [] and net.pack([]).shape == (0,)


def test_network_without_parameters_is_frozen():
    net, theta, (Z, _), expected = without_parameters()
    assert net.freeze(theta)(Z).tobytes() == expected.tobytes()


def without_parameters():
    """A network, its empty theta, images and labels, and what it makes of them."""
    net = Network((4, 4, 2), [MaxPool(2), AvgPool(2)])
    theta, (Z, y) = net.init(0), images(net, 3)
    assert net.n == 0 and theta.shape == (0,)
    expected = net.forward(theta, Z)
    assert expected.any()
    return net, theta, (Z, y), expected


@pytest.mark.parametrize("method", ["lbfgs", "sgd"])
def test_minimize_without_parameters_is_refused_before_anything_is_computed(method):
    class Never:
        net = Network((4, 4, 2), [MaxPool(2), AvgPool(2)])
        l = 3

    message = "^minimize: the network has no parameters, theta is empty$"
    with pytest.raises(ValueError, match=message):
        minimize(Never(), Never.net.init(0), method)
