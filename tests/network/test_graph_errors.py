"""Errors of graphs name the index, the kind and the name of the layer."""

import re
import sys

import numpy as np
import pytest
from support import capi
from support.networks import images

from matconv import (
    Add,
    Concat,
    Conv,
    Crop,
    Dense,
    MaxPool,
    Multiply,
    Network,
    Objective,
    Scale,
    graph,
)
from matconv.encoding import MAX_ELEMENTS, MAX_PARAMETERS, OVERFLOW, Record, encode
from matconv.kernels._operations import input_limits
from matconv.kernels._shapes import ProgramError
from matconv.kernels.program import Program
from matconv.layers import LAYERS as CLASSES

A, B = Conv(2, 3, name="a"), Dense(2, name="b")

GRAPHS = {
    "duplicate name": (
        [A, Conv(2, 3, name="a")],
        "layer 1 (Conv 'a'): there is a layer 'a' already",
    ),
    "name of an unnamed layer": (
        [Conv(2, 3, name="conv2"), Conv(2, 3)],
        "layer 1 (Conv): there is a layer 'conv2' already",
    ),
    "unknown input": (
        [A, Dense(3, inputs="other", name="b")],
        "layer 1 (Dense 'b'): inputs must name earlier layers (input, a), got 'other'",
    ),
    "unknown second input": (
        [A, Add(inputs=["a", "other"])],
        "layer 1 (Add): inputs must name earlier layers (input, a), got 'other'",
    ),
    "later input": (
        [A, Add(inputs=["a", "b"]), B],
        "layer 1 (Add): inputs must name earlier layers (input, a), got 'b'",
    ),
    "own input": (
        [A, Dense(2, inputs="b", name="b")],
        "layer 1 (Dense 'b'): inputs must name earlier layers (input, a), got 'b'",
    ),
    "unread layer": (
        [A, Conv(2, 3, inputs="input")],
        (
            "layer 0 (Conv 'a'): no layer reads its output 'a', and it is not one of the network's "
            "outputs"
        ),
    ),
    "unread unnamed layer": (
        [A, Conv(2, 1), Dense(3, inputs="a")],
        (
            "layer 1 (Conv): no layer reads its output 'conv2', and it is not one of the network's "
            "outputs"
        ),
    ),
    "sizes of Add": (
        [A, Conv(2, 2), Add(inputs=["a", "conv2"], name="sum")],
        "layer 2 (Add 'sum') on images 4 x 4 x 2, 3 x 3 x 2: inputs must have one shape",
    ),
    "channels of Multiply": (
        [A, Conv(3, 3, inputs="input"), Multiply(inputs=["a", "conv2"])],
        "layer 2 (Multiply) on images 4 x 4 x 2, 4 x 4 x 3: " + Multiply.demand,
    ),
    "sizes of Concat": (
        [A, Conv(2, 2), Concat(inputs=["a", "conv2"])],
        "layer 2 (Concat) on images 4 x 4 x 2, 3 x 3 x 2: inputs must have one height and width",
    ),
    "vector and image": (
        [B, Conv(2, 6, inputs="input"), Add(inputs=["b", "conv2"])],
        "layer 2 (Add) on vectors of 2, images 1 x 1 x 2: inputs must have one shape",
    ),
    "vector and image of Concat": (
        [B, Conv(2, 6, inputs="input"), Concat(inputs=["conv2", "b"])],
        "layer 2 (Concat) on images 1 x 1 x 2, vectors of 2: inputs must have one height and width",
    ),
    "Conv on vectors": (
        [B, Conv(2, 3, name="c")],
        "layer 1 (Conv 'c') on vectors of 2: images are needed",
    ),
    "MaxPool on vectors": ([B, MaxPool(2)], "layer 1 (MaxPool) on vectors of 2: images are needed"),
    "Crop on vectors": ([B, Crop(1)], "layer 1 (Crop) on vectors of 2: images are needed"),
    "Crop of all rows": (
        [A, Crop(((2, 2), (0, 0)))],
        "layer 1 (Crop) on images 4 x 4 x 2: crop must leave at least one row and one column",
    ),
    "Crop of more than all columns": (
        [A, Crop((0, 7))],
        "layer 1 (Crop) on images 4 x 4 x 2: crop must leave at least one row and one column",
    ),
    "parameters of another shape": (
        [A, Conv(3, 3, parameters="a")],
        (
            "layer 1 (Conv): parameters of layer 'a' must have the shapes [(2, 3, 3, 3), (3,)], "
            "got [(2, 3, 3, 2), (2,)]"
        ),
    ),
    "parameters without bias": (
        [A, Conv(2, 3, bias=False, parameters="a")],
        (
            "layer 1 (Conv): parameters of layer 'a' must have the shapes [(2, 3, 3, 2)], "
            "got [(2, 3, 3, 2), (2,)]"
        ),
    ),
    "parameters of a layer without any": (
        [MaxPool(2, name="pool"), Conv(2, 3, parameters="pool")],
        (
            "layer 1 (Conv): parameters of layer 'pool' must have the shapes [(2, 3, 3, 2), (2,)], "
            "got []"
        ),
    ),
    "parameters of another kind": (
        [A, Scale(parameters="a", name="s")],
        (
            "layer 1 (Scale 's'): parameters of layer 'a' must have the shapes [(2,), (2,)], "
            "got [(2, 3, 3, 2), (2,)]"
        ),
    ),
    "parameters of the input": (
        [A, Conv(2, 3, parameters="input")],
        "layer 1 (Conv): parameters must name an earlier layer (input, a), got 'input'",
    ),
    "parameters of a later layer": (
        [Conv(2, 3, parameters="a"), A],
        "layer 0 (Conv): parameters must name an earlier layer (input), got 'a'",
    ),
    "parameters of itself": (
        [Conv(2, 3, parameters="a", name="a")],
        "layer 0 (Conv 'a'): parameters must name an earlier layer (input), got 'a'",
    ),
}


def exactly(message):
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_that_does_not_fit_names_the_layer(name):
    layers, message = GRAPHS[name]
    with pytest.raises(ValueError, match=exactly(message)):
        Network((6, 6, 2), layers)


@pytest.mark.parametrize(
    ("outputs", "error", "message"),
    [
        (["a", "a"], ValueError, "must be different names, got ('a', 'a')"),
        ([], ValueError, "must be different names, got ()"),
        (["c"], ValueError, "must name layers (input, a, b), got 'c'"),
        (["input"], ValueError, "must name layers (input, a, b), got 'input'"),
        ("a", TypeError, "must be a sequence of names, got 'a'"),
        ([1], TypeError, "must be a sequence of names, got [1]"),
        (3, TypeError, "must be a sequence of names, got 3"),
        ({"a": 1}, TypeError, "must be a sequence of names, got {'a': 1}"),
    ],
    ids=repr,
)
def test_wrong_outputs_are_refused(outputs, error, message):
    with pytest.raises(error, match=exactly(f"Network: outputs {message}")):
        Network((6, 6, 2), [A, B], outputs=outputs)


def test_layer_after_the_only_output_is_unread():
    message = "layer 1 (Dense 'b'): no layer reads its output 'b', and it is not one of the "
    with pytest.raises(ValueError, match=exactly(message + "network's outputs")):
        Network((6, 6, 2), [A, B], outputs=["a"])


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (None, ValueError, "must be named, one of a, b, got None"),
        ("c", ValueError, "must be one of a, b, got 'c'"),
        ("", ValueError, "must be one of a, b, got ''"),
        (0, TypeError, "must be a name, got 0"),
    ],
    ids=repr,
)
def test_objective_of_several_outputs_needs_one_of_them(output, error, message):
    net = Network((6, 6, 2), [A, B], outputs=["a", "b"])
    with pytest.raises(error, match=exactly(f"Objective: output {message}")):
        Objective(net, np.ones((1, 6, 6, 2)), [0], output=output)


def test_objective_output_that_is_only_a_layer_is_refused():
    net = Network((6, 6, 2), [A, B])
    with pytest.raises(ValueError, match=exactly("Objective: output must be one of b, got 'a'")):
        Objective(net, np.ones((1, 6, 6, 2)), [0], output="a")


def test_predict_of_several_outputs_is_refused():
    net = Network((6, 6, 2), [A, B], outputs=["a", "b"])
    with pytest.raises(ValueError, match=exactly("Network: predict needs one output, got 2")):
        net.predict(net.init(0), np.ones((1, 6, 6, 2)))


LAYERS = [
    (Add, {"inputs": 3}, TypeError,
     "Add: inputs must be a name or a sequence of names, got 3 (int)"),
    (Add, {"inputs": {"a"}}, TypeError,
     "Add: inputs must be a name or a sequence of names, got {'a'} (set)"),
    (Add, {"inputs": b"ab"}, TypeError,
     "Add: inputs must be a name or a sequence of names, got b'ab' (bytes)"),
    (Add, {"inputs": [1, 2]}, TypeError, "Add: inputs must be a str, got 1 (int)"),
    (Add, {"inputs": ["a", None]}, TypeError, "Add: inputs must be a str, got None (NoneType)"),
    (Add, {"inputs": ["a", ""]}, ValueError,
     "Add: inputs must be printable and not empty, got ''"),
    (Add, {"inputs": "a"}, ValueError, "Add: inputs must name at least 2 layers, got 1"),
    (Add, {"inputs": []}, ValueError, "Add: inputs must name at least 2 layers, got 0"),
    (Add, {}, TypeError, "Add: inputs must name the layers that it reads"),
    (Multiply, {}, TypeError, "Multiply: inputs must name the layers that it reads"),
    (Concat, {}, TypeError, "Concat: inputs must name the layers that it reads"),
    (Add, {"inputs": ["a", "b"], "factors": [1]}, ValueError,
     "Add: factors must be one for each of 2 inputs, got 1"),
    (Add, {"inputs": ["a", "b"], "factors": [1, np.nan]}, ValueError,
     "Add: factors must be finite, got nan"),
    (Add, {"inputs": ["a", "b"], "factors": "ab"}, TypeError,
     "Add: factors must be a sequence of numbers, got 'ab'"),
    (Add, {"inputs": ["a", "b"], "factors": [1, None]}, TypeError,
     "Add: factors must be a number, got None (NoneType)"),
    (Add, {"inputs": ["a", "b"], "factors": 3}, TypeError,
     "Add: factors must be a sequence of numbers, got 3"),
    (Scale, {"inputs": ["a", "b"]}, ValueError,
     "Scale: inputs must name 1 layer, got 2"),
    (Scale, {"inputs": []}, ValueError, "Scale: inputs must name 1 layer, got 0"),
    (Scale, {"name": "input"}, ValueError,
     "Scale: name must not be 'input', which is the images"),
    (Scale, {"name": ""}, ValueError, "Scale: name must be printable and not empty, got ''"),
    (Scale, {"name": "a\n"}, ValueError,
     "Scale: name must be printable and not empty, got 'a\\n'"),
    (Scale, {"name": 3}, TypeError, "Scale: name must be a str, got 3 (int)"),
    (Scale, {"parameters": 3}, TypeError, "Scale: parameters must be a str, got 3 (int)"),
    (Scale, {"parameters": ""}, ValueError,
     "Scale: parameters must be printable and not empty, got ''"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "arguments", "error", "message"), LAYERS)
def test_wrong_wiring_of_a_layer_is_refused(kind, arguments, error, message):
    with pytest.raises(error, match=exactly(message)):
        kind(**arguments)


def test_unread_input_is_refused(monkeypatch):
    # only a layer without inputs could leave the images unread, and there is none
    monkeypatch.setattr(graph, "_inputs", lambda k, layer, names: [1] if k == 1 else [0])
    nodes, outputs = graph.build((6, 6, 2), [A, B], None, "auto")
    unread = [nodes[0]._replace(record=nodes[0].record._replace(inputs=[1])), nodes[1]]
    with pytest.raises(ValueError, match=exactly("Network: no layer reads the input")):
        graph._check_read(unread, outputs)


# Limits of compiled code


class Long(list):
    """A list that says that it is longer than memory allows."""

    def __init__(self, length):
        super().__init__(["a", "b"])
        self.length = length

    def __len__(self):
        return self.length


@pytest.mark.parametrize("kind", [Add, Multiply, Concat])
def test_inputs_more_than_the_operation_takes_is_refused(kind):
    _, maximum = input_limits(kind.kind)
    message = f"{kind.kind}: inputs must name at most {maximum} layers, got {maximum + 1}"
    with pytest.raises(ValueError, match=exactly(message)):
        kind(inputs=Long(maximum + 1))
    assert kind(inputs=Long(maximum)).inputs == ("a", "b")


def test_inputs_of_every_class_are_limited_by_its_operation():
    for kind, layer in CLASSES.items():
        # the image that Crop(like=...) names is an input of its operation
        assert layer.input_limits() == ((1, 1) if layer is Crop else input_limits(kind))
        assert input_limits(kind)[0] == (2 if layer in (Add, Multiply, Concat) else 1)


def test_input_limits_unknown_operation_is_a_key_error():
    for kind in ("Tanh", "", "Conv\0", "Cönv"):
        with pytest.raises(KeyError, match=re.escape(repr(kind))):
            input_limits(kind)


def test_add_of_many_inputs_computes():
    net = Network((1, 1, 2), [Add(inputs=["input"] * 5000)])
    Z, _ = images(net, 3)
    np.testing.assert_array_equal(net.forward(net.init(0), np.ones_like(Z)), np.full(Z.shape, 5000))


LARGE = {
    "input": (
        (2**20, 2**19, 1), [Scale()],
        ("Network: input_shape: 1048576 x 524288 x 1 is 549755813888 elements for each image, "
        f"at most {MAX_ELEMENTS} are possible"),
    ),
    "input beyond 64 bits": (
        (2**31, 2**31, 4), [Crop(2)],
        (f"Network: input_shape: 2147483648 x 2147483648 x 4 is {2**64} elements for each image, "
        f"at most {MAX_ELEMENTS} are possible"),
    ),
    "output": (
        (2**18, 2**18, 4), [Concat(inputs=["input", "input"], name="c")],
        ("layer 0 (Concat 'c') on images 262144 x 262144 x 4, 262144 x 262144 x 4: 262144 x 262144 "
        f"x 8 is 549755813888 elements for each image, at most {MAX_ELEMENTS} are possible"),
    ),
    "output of many": (
        (2**18, 2**18, 4), [Concat(inputs=["input"] * 6)],
        ("layer 0 (Concat) on images 262144 x 262144 x 4, 262144 x 262144 x 4, 262144 x 262144 x 4, "
        "262144 x 262144 x 4, and 2 more: 262144 x 262144 x 24 is 1649267441664 elements for each "
        f"image, at most {MAX_ELEMENTS} are possible"),
    ),
    "parameters": (
        (1, 1, 2**30), [Dense(2**29, bias=False)],
        f"Network: {2**59} parameters, at most {MAX_PARAMETERS} are possible",
    ),
    "parameters of two layers": (
        (1, 1, 2**30),
        [Dense(2**28, bias=False, name="a"), Dense(2**28, inputs="input", bias=False),
         Add(inputs=["a", "dense2"])],
        f"Network: {2**59} parameters, at most {MAX_PARAMETERS} are possible",
    ),
    "buffers": (
        (1, 1, 2**28), [Conv(2**28, (1, 3), pad=(0, 1))],
        "Network: the sizes of the buffers overflow",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_sizes_beyond_compiled_code_are_refused(name):
    shape, layers, message = LARGE[name]
    with pytest.raises(OverflowError, match=exactly(message)):
        Network(shape, layers)


def test_sizes_that_overflow_in_an_operation_are_refused(monkeypatch):
    monkeypatch.setattr(graph, "MAX_ELEMENTS", sys.maxsize)
    shapes = ", ".join([f"1 x 1 x {2**62}"] * 2)
    message = f"layer 0 (Concat) on images {shapes}: the sizes overflow"
    with pytest.raises(OverflowError, match=exactly(message)):
        Network((1, 1, 2**62), [Concat(inputs=["input", "input"])])


def test_limits_are_those_of_compiled_code():
    def opened(shape, record, n):
        return Program(encode(shape, [record], [1], n, np.dtype("float64")))

    def status(*arguments):
        with pytest.raises(ProgramError) as caught:
            opened(*arguments)
        return caught.value.status

    assert OVERFLOW == capi.OVERFLOW
    crop = Record("Crop", [0], [0, 0, 0, 0])
    assert opened((1, 1, MAX_ELEMENTS), crop, 0).shape(1) == (1, 1, MAX_ELEMENTS)
    assert status((1, 1, MAX_ELEMENTS + 1), crop, 0) == OVERFLOW
    # 2^29 (2^30 - 1) and 2^29 2^30 parameters
    dense = Record("Dense", [0], [2**30 - 1, 0])
    assert opened((1, 1, 2**29), dense, 2**59 - 2**29).n == 2**59 - 2**29 <= MAX_PARAMETERS
    dense = Record("Dense", [0], [2**30, 0])
    assert status((1, 1, 2**29), dense, 2**59) == OVERFLOW and MAX_PARAMETERS < 2**59
