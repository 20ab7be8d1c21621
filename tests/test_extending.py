"""Layers of other classes: computed as they say, and never frozen or saved as something else."""

import dataclasses
import os
import re

import numpy as np
import pytest
from networks import images

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
from matconv.kernels.geometry import WindowGeometry
from matconv.layers import BoundLayer

KNOWN = "Conv, Dense, MaxPool, AvgPool"


class BoundDouble(BoundLayer):
    """Z_out = 2 Z, written with the interface of a layer alone."""

    def __init__(self, shape, function):
        self.geometry = WindowGeometry(function, (1, *shape), 1)
        self.shape = self.out_shape = shape

    def forward(self, Z, W, b, out, scratch, indices=None, part=0, parts=1):
        np.multiply(Z, 2, out=out)

    def backward(self, dZ_out, Z, Z_out, W, dW, db, dZ, scratch, indices=None):
        if dZ is not None:
            np.multiply(dZ_out, 2, out=dZ)


class Double:
    """A layer of the user's own."""

    kind = "Double"

    def bind(self, shape, function):
        return BoundDouble(shape, function)


class Disguised(Double):
    """A layer of the user's own by the name of another kind."""

    kind = "MaxPool"


class Leaky(Conv):
    """A subclass that computes something else."""

    def bind(self, shape, function):
        return BoundDouble(shape, function)


class Renamed(Dense):
    """A subclass by another name."""

    kind = "Renamed"


@dataclasses.dataclass(frozen=True)
class Further(MaxPool):
    """A subclass with one more argument."""

    factor: int = 2


STRANGE = {
    "another class": Double(),
    "another class by a known kind": Disguised(),
    "subclass with its own bind": Leaky(1, 1),
    "subclass of another kind": Renamed(2),
    "subclass with a further argument": Further(1),
}


def strange(name):
    """A network on 4 x 4 images of one channel whose layer 1 is of no known class."""
    return Network((4, 4, 1), [Conv(1, 1), STRANGE[name]])


each = pytest.mark.parametrize("name", STRANGE)


@each
def test_strange_layer_trains_and_is_shown(name):
    net = strange(name)
    Z, _ = images(net, 5)
    f = Objective(net, Z, np.zeros((5, net.n_outputs)), C=10.0)
    theta = net.init(0)
    direction, h = np.random.default_rng(0).standard_normal(net.n), 1e-5
    slope = (f(theta + h * direction) - f(theta - h * direction)) / (2 * h)
    gradient = f.gradient(theta)
    assert abs(slope - gradient @ direction) <= 1e-7 * np.linalg.norm(gradient)
    assert minimize(f, theta, max_iterations=2).f < f(theta)
    assert net.layers[1].kind in net.summary() and "Conv" in repr(net)


@each
@pytest.mark.parametrize("images_at_once", [1, 7])
def test_strange_layer_cannot_be_frozen_or_exported(name, images_at_once, tmp_path):
    net, path = strange(name), tmp_path / "net.matconv"
    layer = net.layers[1]
    message = (
        f"Network: layer 1 ({layer.kind}) cannot be exported: its class must be one of {KNOWN}, "
        f"got {type(layer).__qualname__}"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        net.freeze(net.init(0), images_at_once)
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        net.export(net.init(0), path, images_at_once)
    assert os.listdir(tmp_path) == []


@each
def test_strange_layer_cannot_be_described_or_saved(name, tmp_path):
    net, path = strange(name), tmp_path / "model.npz"
    layer = net.layers[1]
    message = (
        f"Network: layer 1 ({layer.kind}) cannot be described: its class must be one of {KNOWN}, "
        f"got {type(layer).__qualname__}"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        net.description()
    path.write_bytes(b"before")
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        save_model(path, net, net.init(0))
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["model.npz"]


@pytest.mark.parametrize(
    ("layer", "changes", "freezing", "saving"),
    [
        (
            Conv(2, 1),
            {"activation": "tanh"},
            "layer 0 (Conv) cannot be exported: activation must be 'relu' or None, got 'tanh'",
            "layer 0 (Conv): activation must be 'relu' or None, got 'tanh'",
        ),
        (
            Dense(2),
            {"activation": "sigmoid"},
            "layer 0 (Dense) cannot be exported: activation must be 'relu' or None, got 'sigmoid'",
            "layer 0 (Dense): activation must be 'relu' or None, got 'sigmoid'",
        ),
        (MaxPool(2), {"stride": [2, 2]}, None, "layer 0 (MaxPool) has changed: "),
        (AvgPool(2), {"pad": "full"}, None, "layer 0 (AvgPool): pad must be sizes or 'same', got"),
    ],
)  # fmt: skip
def test_layer_changed_by_force_is_not_written(layer, changes, freezing, saving, tmp_path):
    layer = dataclasses.replace(layer)
    net = Network((4, 4, 1), [layer])
    for name, value in changes.items():
        object.__setattr__(layer, name, value)
    path = tmp_path / "model.npz"
    with pytest.raises(ValueError, match=re.escape(saving)):
        save_model(path, net, net.init(0))
    if freezing is not None:
        with pytest.raises(ValueError, match=re.escape(freezing)):
            net.freeze(net.init(0))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("W_shape", "b_shape"), [((1, 1, 1, 1), None), (None, (1,)), ((3, 2), None)]
)
def test_layer_with_W_or_b_alone_is_refused(W_shape, b_shape):
    class BoundHalf(BoundDouble):
        pass

    class Half(Double):
        kind = "Half"

        def bind(self, shape, function):
            bound = BoundHalf(shape, function)
            bound.W_shape, bound.b_shape = W_shape, b_shape
            return bound

    message = (
        f"Network: layer 1 (Half) must have both W and b or neither, got W_shape {W_shape} and "
        f"b_shape {b_shape}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Network((4, 4, 1), [Conv(1, 1), Half()])


@pytest.mark.parametrize("layer", [5, "Conv", None, Double, type("NoKind", (), {"bind": None})()])
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
def test_what_is_saved_can_be_loaded(name, tmp_path):
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
def test_what_cannot_be_loaded_is_not_saved(name, tmp_path):
    net, theta = two_outputs()
    arguments, kind, message = BAD[name]
    path = tmp_path / "model.npz"
    path.write_bytes(b"before")
    with pytest.raises(kind, match=re.escape(message)):
        save_model(path, net, theta, **arguments)
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["model.npz"]
    with pytest.raises(FormatError):
        load_model(path)


def test_network_without_parameters_is_saved_frozen_and_evaluated(tmp_path):
    net = Network((4, 4, 2), [MaxPool(2), AvgPool(2)])
    theta, (Z, y) = net.init(0), images(net, 3)
    assert net.n == 0 and theta.shape == (0,)
    expected = net.forward(theta, Z)
    assert expected.any()
    path = tmp_path / "model.npz"
    save_model(path, net, theta)
    model = load_model(path)
    assert model.network == net
    assert model.network.forward(model.theta, Z).tobytes() == expected.tobytes()
    assert net.freeze(theta)(Z).tobytes() == expected.tobytes()
    f = Objective(net, Z, y, "softmax", C=2.0)
    value, gradient = f.value_and_gradient(theta)
    assert value == f(theta) > 0 and gradient.shape == (0,)
    assert net.unpack(theta) == [] and net.pack([]).shape == (0,)


@pytest.mark.parametrize("method", ["lbfgs", "sgd"])
def test_minimize_without_parameters_is_refused_before_anything_is_computed(method):
    class Never:
        net = Network((4, 4, 2), [MaxPool(2), AvgPool(2)])
        l = 3

    message = "^minimize: the network has no parameters, theta is empty$"
    with pytest.raises(ValueError, match=message):
        minimize(Never(), Never.net.init(0), method)
