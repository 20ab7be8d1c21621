"""Networks that are graphs: inputs of layers, descriptions, several outputs."""

import json

import numpy as np
import pytest
from support import graph_reference
from support.random_graphs import random_images, random_theta
from support.tolerances import assert_same_bytes, assert_within, rounding_bound

from matconv import (
    Add,
    Clip,
    Conv,
    Dense,
    LeakyReLU,
    MaxPool,
    Network,
    Objective,
    Scale,
)
from matconv.presets import make_network

DTYPES = [np.float64, np.float32]
RESIDUAL = (
    Conv(4, 3, pad="same", activation="relu", name="stem"),
    Conv(4, 3, pad="same", activation=LeakyReLU(0.1)),
    Conv(4, 3, pad="same", parameters="conv2"),
    Add(inputs=("conv3", "stem"), factors=(1, -0.5), activation=Clip(0, 6), name="sum"),
    MaxPool(2, inputs="sum"),
    Dense(3, name="scores"),
)


def residual(dtype=np.float64, **options):
    return Network((6, 5, 2), RESIDUAL, dtype, **options)


def test_residual_summary_shows_wiring():
    lines = residual(outputs=["sum", "scores"]).summary().splitlines()
    layers = [line.split("  ")[0] for line in lines[3:9]]
    assert layers == [
        "stem: Conv(4, kernel=3, pad=same, relu)",
        "conv2: Conv(4, kernel=3, pad=same, LeakyReLU(slope=0.1))",
        "conv3: Conv(4, kernel=3, pad=same, parameters=conv2)",
        "sum: Add(factors=(1.0, -0.5), Clip(lo=0.0, hi=6.0), inputs=conv3 + stem)",
        "maxpool5: MaxPool(2, inputs=sum)",
        "scores: Dense(3)",
    ]
    assert "outputs    sum, scores" in lines


@pytest.mark.parametrize(
    ("layers", "outputs"),
    [
        ([Conv(2, 3), Dense(2)], ["conv1", "dense2"]),
        ([Conv(2, 1), Conv(2, 1), Conv(2, 1, parameters="conv2")], None),
        ([Conv(2, 1), Dense(2, inputs="conv1")], None),
    ],
    ids=["outputs", "parameters", "inputs"],
)
def test_summary_names_layers_where_something_refers_to_names(layers, outputs):
    text = Network((4, 4, 2), layers, outputs=outputs).summary()
    assert "conv1: Conv(2" in text
    assert "conv1" not in Network((4, 4, 2), [Conv(2, 1), Dense(2)]).summary()


def test_residual_repr_is_the_network():
    net = residual(outputs=["sum", "scores"])
    names = {kind.__name__: kind for kind in (Network, Conv, Add, MaxPool, Dense, LeakyReLU, Clip)}
    assert eval(repr(net), {**names, "float64": "float64"}) == net


@pytest.mark.parametrize("outputs", [None, ["scores"], ["sum", "scores"]])
def test_residual_description_goes_through_json(outputs):
    net = residual(np.float32, outputs=outputs)
    description = net.description()
    assert description["layers"][3] == {
        "kind": "Add",
        "factors": [1.0, -0.5],
        "activation": {"kind": "Clip", "lo": 0.0, "hi": 6.0},
        "name": "sum",
        "inputs": ["conv3", "stem"],
    }
    assert description["layers"][2]["parameters"] == "conv2"
    assert description["layers"][4]["inputs"] == "sum"
    assert description.get("outputs") == outputs
    assert Network.from_description(json.loads(json.dumps(description))) == net


TOML = """
[network]
input_shape = [6, 5, 2]

[[layers]]
kind = "Conv"
name = "stem"
channels = 4
kernel = 3
pad = "same"
activation = "relu"

[[layers]]
kind = "Conv"
channels = 4
kernel = 3
pad = "same"
activation = { kind = "LeakyReLU", slope = 0.1 }

[[layers]]
kind = "Conv"
channels = 4
kernel = 3
pad = "same"
activation = "none"
parameters = "conv2"

[[layers]]
kind = "Add"
name = "sum"
inputs = ["conv3", "stem"]
factors = [1, -0.5]
activation = { kind = "Clip", lo = 0, hi = 6 }

[[layers]]
kind = "MaxPool"
window = 2
inputs = "sum"

[[layers]]
kind = "Dense"
name = "scores"
units = 3
"""


def test_residual_toml_is_read(tmp_path):
    path = tmp_path / "residual.toml"
    path.write_text(TOML, encoding="utf-8")
    assert make_network(str(path), None, 3) == residual()


@pytest.mark.parametrize("dtype", DTYPES)
def test_residual_is_what_numpy_computes(dtype):
    net = residual(dtype, outputs=["scores", "sum"])
    theta, Z = random_theta(net, 0), random_images(net, 0)
    scores, total = net.forward(theta, Z)
    values = graph_reference.forward(net, theta, Z)
    for actual, expected in ((scores, values[6]), (total, values[4])):
        assert_within(actual, expected, rounding_bound(1000, 1 + np.abs(expected), dtype))


def cut(net, output):
    """The layers that an output depends on, with what they read by name; where theta has them."""
    graph = graph_reference.Graph(net)
    needed, keep = [graph.names[output] - 1], set()
    while needed:
        k = needed.pop()
        keep.add(k)
        needed += [v - 1 for v in graph.reads[k] if v > 0]
        if getattr(net.layers[k], "parameters", None):
            keep.add(graph.names[net.layers[k].parameters] - 1)
            needed.append(graph.names[net.layers[k].parameters] - 1)
    return [net.layers[k] for k in sorted(keep)]


def test_outputs_are_a_tuple_in_their_order():
    names = ["scores", "stem", "sum"]
    net = residual(outputs=names)
    theta, Z = net.init(1), random_images(net, 1, 7)
    z = net.forward(theta, Z)
    assert isinstance(z, tuple) and net.output_shape == ((3,), (6, 5, 4), (6, 5, 4))
    assert net.n_outputs == (3, 120, 120)
    for order in ([2, 0, 1], [1, 2, 0]):
        again = residual(outputs=[names[k] for k in order]).forward(theta, Z)
        for k, one in zip(order, again):
            assert_same_bytes(one, z[k])
    assert_same_bytes(residual(outputs=["scores"]).forward(theta, Z), z[0])
    assert_same_bytes(residual().forward(theta, Z), z[0])


TWO_HEADS = (
    Conv(3, 3, activation="relu", name="body"),
    Scale(name="left"),
    Dense(4, inputs="body", name="right"),
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", ["body", "left", "right"])
def test_objective_output_gradient_is_that_of_the_network_cut_there(output, dtype):
    net = Network((5, 6, 2), TWO_HEADS, dtype, outputs=["body", "left", "right"])
    theta, Z = random_theta(net, 2), random_images(net, 2, 9)
    part = Network((5, 6, 2), cut(net, output), dtype)
    sizes = [sum(a.size for a in views) for views in net.unpack(theta)]
    starts = dict(zip(("body", "left", "right"), np.cumsum([0, *sizes])))
    lengths = dict(zip(("body", "left", "right"), sizes))
    places = [slice(starts[x.name], starts[x.name] + lengths[x.name]) for x in part.layers]
    Y = np.random.default_rng(3).standard_normal((9, part.n_outputs)).astype(dtype)
    f, gradient = Objective(net, Z, Y, output=output).value_and_gradient(theta)
    own = np.concatenate([theta[place] for place in places])
    expected_f, expected = Objective(part, Z, Y).value_and_gradient(own)
    assert f == expected_f
    assert_same_bytes(np.concatenate([gradient[place] for place in places]), expected)
    for name in starts.keys() - {x.name for x in part.layers}:
        assert not gradient[starts[name] : starts[name] + lengths[name]].any()
        assert expected.any()


def test_objective_outputs_are_those_of_its_output():
    net = Network((5, 6, 2), TWO_HEADS, outputs=["left", "right"])
    theta, Z = random_theta(net, 2), random_images(net, 2, 9)
    f = Objective(net, Z, np.zeros(9, int), output="right")
    assert_same_bytes(f.outputs(theta), net.forward(theta, Z)[1])
