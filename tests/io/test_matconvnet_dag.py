"""Files with a DagNN of MatConvNet: graphs, shared parameters, several outputs."""

import numpy as np
import pytest
from support import matconvnet_reference as reference
from support.matlab_files import SAVERS, Structs

from matconv.io import FormatError, load_matconvnet


def node(kind, inputs, output, params=(), name="", **block):
    return {
        "name": name or output,
        "type": f"dagnn.{kind}",
        "inputs": list(inputs),
        "outputs": [output],
        "params": list(params),
        "block": block,
    }


def dagnn(layers, params, size, name="data"):
    values = Structs({"name": key, "value": np.asarray(value)} for key, value in params.items())
    names = sorted({one for layer in layers for one in (*layer["inputs"], *layer["outputs"])})
    return {
        "net": {
            "vars": Structs({"name": one, "precious": 0} for one in names),
            "params": values or np.empty((0, 0)),
            "layers": Structs(layers),
            "meta": {"inputs": Structs([{"name": name, "size": np.array([*size, 10.0])}])},
        }
    }


@pytest.fixture(params=SAVERS)
def load(request, tmp_path):
    """Write variables to a file of one of the versions, and load it."""

    def load(variables, **options):
        path = tmp_path / "net.mat"
        SAVERS[request.param](path, variables)
        return load_matconvnet(path, **options)

    return load


def outputs(model, X):
    found = model.network.forward(model.theta, X[np.newaxis])
    return [one[0] for one in found] if isinstance(found, tuple) else [found[0]]


def check(found, expected):
    assert found.shape == expected.shape
    assert abs(found - expected).max() <= 1e-12 * abs(expected).max()


RANDOM = np.random.default_rng(3)
PARAMS = {
    "f": RANDOM.standard_normal((3, 3, 2, 4)),
    "b": RANDOM.standard_normal((4, 1)),
    "shared": RANDOM.standard_normal((3, 2, 4, 4)),
    "shared_b": RANDOM.standard_normal((1, 4)),
    "up": RANDOM.standard_normal((4, 4, 3, 2)),
    "up_b": RANDOM.standard_normal((6, 1)),
    "g": RANDOM.uniform(0.5, 2, (4, 1)),
    "h": RANDOM.standard_normal((4, 1)),
    "moments": np.column_stack([RANDOM.standard_normal(4), RANDOM.uniform(0.5, 2, 4)]),
    "k": RANDOM.standard_normal((1, 1, 4)),
}
PAIR = np.array([0.0, 1, 0, 1])


def graph():
    """A graph with all classes, in another order than that of evaluation."""
    same = {"pad": PAIR, "stride": 1}
    return [
        node("Loss", ("last", "label"), "objective", loss="softmaxlog"),
        node("Conv", ("data",), "x1", ("f", "b"), pad=1, size=np.array([3.0, 3, 2, 4])),
        node("ReLU", ("x1",), "x2", leak=0.1, useShortCircuit=True),
        node("Conv", ("x4",), "x5", ("shared", "shared_b"), pad=np.array([1.0, 1, 0, 1])),
        node("Conv", ("x2",), "x3", ("shared", "shared_b"), pad=np.array([1.0, 1, 0, 1])),
        node("ReLU", ("x3",), "x4", leak=0.0),
        node("Sum", ("x5", "x2"), "x6"),
        node("BatchNorm", ("x6",), "x7", ("g", "h", "moments"), numChannels=4.0, epsilon=1e-5),
        node("Pooling", ("x7",), "x8", method="max", poolSize=np.array([2.0, 2]), **same),
        node("Scale", ("x8",), "x9", ("k",), size=np.array([1.0, 1, 4]), hasBias=False),
        node("Concat", ("x9", "x8"), "x10", dim=3.0),
        node("DropOut", ("x10",), "x11", rate=0.5),
        node("LRN", ("x11",), "x12", param=np.array([5, 1, 2e-2, 0.75])),
        node("Pooling", ("x12",), "x13", method="avg", poolSize=np.array([3.0, 2]), stride=2),
        node("Conv", ("x13",), "x14", ("shared4",), pad=0),
        node("ConvTranspose", ("x14",), "x15", ("up", "up_b"), upsample=2.0, numGroups=2.0,
             crop=np.array([1.0, 0, 1, 0])),
        node("Crop", ("x15", "x13"), "x16", crop=np.array([1.0, 2])),
        node("SoftMax", ("x16",), "last"),
    ]  # fmt: skip


def evaluated(X, params):
    p = params
    x2 = reference.relu(reference.conv(X, p["f"], p["b"], 1, 1), 0.1)
    x4 = reference.relu(reference.conv(x2, p["shared"], p["shared_b"], 1, (1, 1, 0, 1)))
    x6 = reference.conv(x4, p["shared"], p["shared_b"], 1, (1, 1, 0, 1)) + x2
    x7 = reference.bnorm(x6, p["g"], p["h"], p["moments"])
    x8 = reference.pool(x7, 2, 1, PAIR)
    x10 = np.concatenate([x8 * p["k"].ravel(), x8], 2)
    x12 = reference.normalize(x10, (5, 1, 2e-2, 0.75))
    x13 = reference.pool(x12, (3, 2), 2, 0, "avg")
    x14 = reference.conv(x13, p["shared4"], None)
    x15 = reference.convt(x14, p["up"], p["up_b"], 2, (1, 0, 1, 0), 2)
    x16 = x15[1 : 1 + x13.shape[0], 2 : 2 + x13.shape[1]]
    return reference.softmax(x16)


def test_load_matconvnet_dag_every_class_as_reference(load):
    params = {**PARAMS, "shared4": RANDOM.standard_normal((1, 1, 8, 2))}
    model = load(dagnn(graph(), params, (13, 10, 2)))
    X = np.random.default_rng(1).standard_normal((13, 10, 2))
    (found,) = outputs(model, X)
    check(found, evaluated(X, params))
    # f, b, shared, shared_b once, gain and bias, k, shared4, up, up_b
    assert model.network.n == 72 + 4 + 96 + 4 + 8 + 4 + 16 + 96 + 6
    notes = model.training["imported"]["notes"]
    assert notes[:-1] == ["layers(1) 'objective' (dagnn.Loss): left out"]


def test_load_matconvnet_dag_several_outputs(load):
    layers = [
        node("Conv", ("data",), "a", ("f", "b")),
        node("ReLU", ("a",), "b"),
        node("Sigmoid", ("a",), "c"),
    ]
    model = load(dagnn(layers, PARAMS, (5, 6, 2)))
    X = np.random.default_rng(1).standard_normal((5, 6, 2))
    Y = reference.conv(X, PARAMS["f"], PARAMS["b"])
    assert model.network.outputs == ("b", "c")
    first, second = outputs(model, X)
    check(first, np.maximum(Y, 0))
    check(second, 1 / (1 + np.exp(-Y)))


def test_load_matconvnet_dag_parameters_shared_by_other_shapes_are_copied(load):
    # one array of parameters as the filters of a convolution and of a transposed one
    layers = [
        node("Conv", ("data",), "a", ("f",)),
        node("ConvTranspose", ("a",), "b", ("f",), upsample=1.0),
    ]
    params = {"f": RANDOM.standard_normal((3, 2, 2, 2))}
    model = load(dagnn(layers, params, (5, 6, 2)))
    X = np.random.default_rng(1).standard_normal((5, 6, 2))
    (found,) = outputs(model, X)
    Y = reference.convt(reference.conv(X, params["f"], None), params["f"], None)
    check(found, Y)
    assert model.network.n == 2 * 24


def test_load_matconvnet_dag_without_parameters(load):
    model = load(dagnn([node("Sigmoid", ("x",), "y")], {}, (2, 3, 1), "x"))
    assert model.network.n == 0


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [node("ReLU", ("data", ), "a"), node("Sum", ("a", "c"), "b"), node("ReLU", ("b",), "c")],
            r"layers\(2\) 'b' \(dagnn.Sum\) depends on its own output",
        ),
        ([node("Sum", ("data", "other"), "b")], "one input expected, got 2: data, other"),
        (
            [node("ReLU", ("data",), "a"), node("Sigmoid", ("data",), "a")],
            r"layers\(2\) 'a' \(dagnn.Sigmoid\): 'a' is made by layers\(1\) 'a' \(dagnn.ReLU\) too",
        ),
        ([node("Conv", ("data",), "a", ("missing",))], "parameters missing have no values"),
        (
            [node("ROIPooling", ("data",), "a"), node("PDist", ("a",), "b")],
            r"layers\(1\) 'a' \(dagnn.ROIPooling\) is not supported; layers\(2\) 'b' \(dagnn.PDist\)",
        ),
        ([node("Concat", ("data", "data"), "a", dim=1.0)], "dim must be 3, channels, got 1"),
        ([node("Crop", ("data",), "a")], "2 inputs expected, got 1"),
        *(
            ([node("Sigmoid", ("data",), "a"), node(kind, (), "b")], r"layers\(2\) 'b' .*no inputs")
            for kind in ("Conv", "ReLU", "Sum", "Concat", "SoftMax")
        ),
    ],
)  # fmt: skip
def test_load_matconvnet_dag_invalid_graph_refused(load, layers, message):
    with pytest.raises(FormatError, match=message):
        load(dagnn(layers, {"p": np.ones((1, 1))}, (5, 5, 2)))


def test_load_matconvnet_dag_unknown_loss_that_nothing_reads_is_left_out(load):
    layers = [node("Sigmoid", ("data",), "a"), node("x", ("a", "label"), "e")]
    layers[1]["type"] = "my_dag_Loss"
    model = load(dagnn(layers, {"p": np.ones((1, 1))}, (5, 5, 2)))
    assert model.training["imported"]["notes"][0] == "layers(2) 'e' (my_dag_Loss): left out"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [node("ReLU", ("x",), "a"), node("Scale", ("x", "a"), "z", ("b",), hasBias=True)],
            r"layers\(2\) 'z' \(dagnn.Scale\): a product of two inputs with a bias is not supported",
        ),
        (
            [node("ReLU", ("x",), "a"), node("Sigmoid", ("x", "a"), "z")],
            r"layers\(2\) 'z' \(dagnn.Sigmoid\): 1 input expected, got 2",
        ),
        (
            [node("Loss", ("x",), "a"), node("ReLU", ("a",), "z")],
            r"layers\(1\) 'a' \(dagnn.Loss\) is not supported",
        ),
    ],
)
def test_load_matconvnet_dagnn_layer_without_counterpart_refused(load, layers, message):
    with pytest.raises(FormatError, match=message):
        load(dagnn(layers, {"b": np.ones(4)}, (3, 3, 4), "x"))


def test_layers_that_repeat_a_parameter_beside_different_ones_are_limited(load):
    """Each layer has a bias of its own, so that the filters cannot be shared in theta."""
    size, n = 400, 70
    params = {"w": np.zeros((1, 1, size, size)), **{f"b{k}": np.zeros((1, size)) for k in range(n)}}
    layers = [node("Conv", (f"x{k}",), f"x{k + 1}", ("w", f"b{k}")) for k in range(n)]
    model = load(dagnn(layers[:60], params, (1, 1, size), "x0"))
    assert model.network.n == 60 * (size * size + size)
    params |= {f"b{k}": np.zeros((1, size)) for k in range(200)}
    layers = [node("Conv", (f"x{k}",), f"x{k + 1}", ("w", f"b{k}")) for k in range(200)]
    with pytest.raises(FormatError, match="too many layers repeat them"):
        load(dagnn(layers, params, (1, 1, size), "x0"))
