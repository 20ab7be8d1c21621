"""The single-node cases of the ONNX backend suite of activations and normalising operators.

Not collected by a plain ``pytest``; run with ``pytest -s tests/peers`` where ``onnx`` is installed.
"""

import warnings

import numpy as np
import pytest

from matconv import (
    ELU,
    LRN,
    Activation,
    Clip,
    HardSigmoid,
    LeakyReLU,
    LogSoftmax,
    Network,
    Normalize,
    PReLU,
    Softmax,
)

loader = pytest.importorskip("onnx.backend.test.loader")
from onnx import helper, numpy_helper

NAMES = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "HardSwish": "hard_swish",
    "Swish": "silu",
    "Gelu": "gelu",
}
KINDS = {
    *NAMES, "LeakyRelu", "PRelu", "Clip", "Elu", "HardSigmoid", "LRN", "Softmax", "LogSoftmax",
    "LpNormalization",
}  # fmt: skip
# not functions that a layer has
REFUSED = {
    "test_gelu_tanh_1": "an approximation of the function",
    "test_gelu_tanh_2": "an approximation of the function",
    "test_clip_min_greater_than_max": "lo must be below hi",
    "test_clip_default_int8_min": "integers",
    "test_clip_default_int8_max": "integers",
    "test_clip_default_int8_inbounds": "integers",
}


def cases():
    """{name: (node, arrays by name, expected)} of the operators in `KINDS`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = loader.load_node_model_tests()
    found = {}
    for case in loaded:
        graph = case.model.graph
        if len(graph.node) != 1 or graph.node[0].op_type not in KINDS:
            continue
        (inputs, (expected,)), *_ = case.data_sets
        arrays = {value.name: _array(x) for value, x in zip(graph.input, inputs)}
        found[case.name] = graph.node[0], arrays, _array(expected)
    return found


def _array(value):
    return np.asarray(value) if hasattr(value, "dtype") else numpy_helper.to_array(value)


def layer_of(node, arrays):
    """The layer of a node, the axis of its channels, and its parameters."""
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    kind = node.op_type
    if kind in NAMES:
        return Activation(NAMES[kind]), None, []
    if kind == "LeakyRelu":
        return Activation(LeakyReLU(given.get("alpha", 0.01))), None, []
    if kind == "Elu":
        return Activation(ELU(given.get("alpha", 1.0))), None, []
    if kind == "HardSigmoid":
        return Activation(HardSigmoid(given.get("alpha", 0.2), given.get("beta", 0.5))), None, []
    if kind == "Clip":
        names = [*node.input[1:], "", ""][:2]
        lo, hi = (arrays.get(n, d) for n, d in zip(names, (-np.inf, np.inf)))
        return Activation(Clip(float(lo), float(hi))), None, []
    if kind == "LRN":
        size, alpha = given["size"], given.get("alpha", 1e-4)
        return LRN(size, given.get("bias", 1.0), alpha / size, given.get("beta", 0.75)), 1, []
    if kind == "LpNormalization":
        return Normalize(given.get("p", 2)), given.get("axis", -1), []
    if kind == "PRelu":
        # with a slope for each element
        return PReLU(), None, [np.broadcast_to(arrays["slope"], arrays["x"].shape).ravel()]
    return {"Softmax": Softmax, "LogSoftmax": LogSoftmax}[kind](), given.get("axis", -1), []


CASES = cases()


@pytest.mark.parametrize("name", [name for name in CASES if name not in REFUSED])
def test_node_agrees_with_the_suite(name):
    node, arrays, expected = CASES[name]
    x = arrays["x"]
    layer, axis, parameters = layer_of(node, arrays)
    moved = x.reshape(1, 1, 1, -1) if axis is None else np.moveaxis(x, axis, -1)
    rows = moved.reshape(-1, 1, 1, moved.shape[-1])
    net = Network(rows.shape[1:], [layer], x.dtype)
    theta = np.concatenate([np.zeros(0, x.dtype), *parameters])
    z = net.forward(theta, rows).reshape(moved.shape)
    z = z.reshape(x.shape) if axis is None else np.moveaxis(z, -1, axis)
    if node.op_type == "LpNormalization":
        # a zero vector is NaN here, and stays 0 in ONNX
        zero = (x == 0).all(axis=axis, keepdims=True) & np.ones(x.shape, bool)
        assert np.isnan(z[zero]).all()
        z = np.where(zero, 0, z)
    eps = np.finfo(x.dtype).eps
    # both are rounded a few times; Softplus of the suite is not accurate for negative elements
    np.testing.assert_allclose(z, expected, rtol=16 * eps, atol=16 * eps * np.abs(expected).max())


def test_cases_of_every_operator_are_there():
    have = {node.op_type for name, (node, *_) in CASES.items() if name not in REFUSED}
    assert have == KINDS and REFUSED.keys() < CASES.keys()
    print(f"\n{len(CASES) - len(REFUSED)} cases of {len(KINDS)} operators agree")
