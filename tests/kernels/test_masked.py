"""Masked arrays are refused by whatever takes an array: as an ndarray each would lose its mask.

The operators are tried in `test_faults_limits`.
"""

import functools
import os
import re

import numpy as np
import pytest
from support.networks import images, mixed

from matconv import (
    Conv,
    Dense,
    MaxPool,
    Network,
    Objective,
    P_phi,
    mat,
    minimize,
    phi,
    phi_operator,
    save_model,
    vec,
)
from matconv.io import Model
from matconv.kernels._geometry import WindowGeometry
from matconv.losses import SoftmaxLoss, SquaredLoss

NET = mixed()
THETA = NET.init(0)
Z, Y = images(NET, 4)
ROWS = np.eye(3)[Y]
F = Objective(NET, Z, Y)
PARAMETERS = NET.unpack(THETA)
MODEL = Model(NET, THETA)
OPERATOR = phi_operator((3, 3, 1), 2)

masked = np.ma.masked_array


@functools.cache
def predictor():
    """The network frozen."""
    return NET.freeze(THETA)


def with_mask(array):
    """The array with its first element masked."""
    mask = np.zeros(np.shape(array), bool)
    mask.flat[0] = True
    return masked(array, mask)


def packed(layer, part, masking):
    """pack with one W or b masked."""
    parameters = [list(pair) for pair in PARAMETERS]
    parameters[layer][part] = masking(parameters[layer][part])
    return NET.pack(parameters)


FILL = "is a masked array; fill it or drop the mask first"
INTEGER = "must be an integer, got masked"

# what is called with a masked array, the array (or what makes it), and the message
CALLS = {
    "forward, theta": (lambda x: NET.forward(x, Z), THETA, f"Network: theta {FILL}"),
    "forward, Z": (lambda x: NET.forward(THETA, x), Z, f"Network: Z {FILL}"),
    "predict, theta": (lambda x: NET.predict(x, Z), THETA, f"Network: theta {FILL}"),
    "predict, Z": (lambda x: NET.predict(THETA, x), Z, f"Network: Z {FILL}"),
    "unpack": (NET.unpack, THETA, f"Network: theta {FILL}"),
    "freeze": (NET.freeze, THETA, f"Network: theta {FILL}"),
    "export": (lambda x: NET.export(x, "f"), THETA, f"Network: theta {FILL}"),
    "freeze, images": (lambda x: NET.freeze(THETA, x), 3, f"Network: images {INTEGER}"),
    "init": (NET.init, [3], f"Network: seed {FILL}"),
    "input_shape": (lambda x: Network(x, [Dense(1)]), [2, 2, 1], "input_shape must be (height,"),
    "Objective, Z": (lambda x: Objective(NET, x, Y), Z, f"Objective: Z {FILL}"),
    "Objective, labels": (lambda x: Objective(NET, Z, x), Y, f"SquaredLoss: Y {FILL}"),
    "Objective, rows": (
        lambda x: Objective(NET, Z, x, "softmax"), ROWS, f"SoftmaxLoss: Y {FILL}",
    ),
    "Objective, C": (lambda x: Objective(NET, Z, Y, C=x), 3.0, f"Objective: C {FILL}"),
    "targets, squared": (lambda x: SquaredLoss().targets(x, 4, 3, float), Y, f"loss: Y {FILL}"),
    "targets, softmax": (lambda x: SoftmaxLoss().targets(x, 4, 3, float), ROWS, f"loss: Y {FILL}"),
    "value": (F.value, THETA, f"Network: theta {FILL}"),
    "call": (F, THETA, f"Network: theta {FILL}"),
    "gradient": (F.gradient, THETA, f"Network: theta {FILL}"),
    "value_and_gradient": (F.value_and_gradient, THETA, f"Network: theta {FILL}"),
    "outputs": (F.outputs, THETA, f"Network: theta {FILL}"),
    "subset": (F.subset, [0, 1], f"Objective: indices {FILL}"),
    "subset of a subset": (F.subset([0, 1]).subset, [0, 1], f"Objective: indices {FILL}"),
    "Predictor, Z": (lambda x: predictor()(x), Z, f"Predictor: Z {FILL}"),
    "Predictor, out": (
        lambda x: predictor().into(Z, x), np.zeros((4, 3)), "out must be an ndarray, got MaskedArray",
    ),
    "Predictor, scratch": (
        lambda x: predictor().into(Z, None, x), lambda: np.zeros(predictor().workspace_size(4)),
        f"Predictor: scratch {FILL}",
    ),
    "workspace_size": (lambda x: predictor().workspace_size(x), 3, f"Predictor: n {INTEGER}"),
    "lbfgs, theta0": (lambda x: minimize(F, x), THETA, f"Network: theta {FILL}"),
    "sgd, theta0": (lambda x: minimize(F, x, "sgd"), THETA, f"Network: theta {FILL}"),
    "max_iterations": (lambda x: minimize(F, THETA, "sgd", x), 3, f"max_iterations {INTEGER}"),
    "gtol": (lambda x: minimize(F, THETA, gtol=x), 0.1, "gtol must be a number, got masked"),
    "seed": (lambda x: minimize(F, THETA, "sgd", seed=x), 3, f"seed {INTEGER}"),
    "Model, theta": (lambda x: Model(NET, x), THETA, f"Network: theta {FILL}"),
    "Model, labels": (lambda x: Model(NET, THETA, x), [1, 2, 3], f"Model: labels {FILL}"),
    "prepare": (MODEL.prepare, Z, f": pixels {FILL}"),
    "prepare, uint8": (MODEL.prepare, Z.astype(np.uint8), f": pixels {FILL}"),
    "Model.predict": (MODEL.predict, Z, f": pixels {FILL}"),
    "save_model, theta": (lambda x: save_model("f", NET, x), THETA, f"save_model: theta {FILL}"),
    "save_model, labels": (
        lambda x: save_model("f", NET, THETA, x), [1, 2, 3], f"save_model: labels {FILL}",
    ),
    "kernel": (lambda x: Conv(2, x), [3, 3], "Conv: kernel must be an integer or a pair"),
    "kernel, 0-d": (lambda x: Conv(2, x), 3, "Conv: kernel must be an integer or a pair"),
    "channels": (lambda x: Conv(x, 3), 3, f"Conv: channels {INTEGER}"),
    "pad": (lambda x: Conv(2, 3, pad=x), [[1, 1], [1, 1]], "Conv: pad must be an integer, a pair"),
    "window": (MaxPool, [2, 2], "MaxPool: window must be an integer or a pair"),
    "units": (Dense, 2, f"Dense: units {INTEGER}"),
    "geometry": (lambda x: WindowGeometry("f", x, 1), [1, 2, 2, 1], "f: shape must be (images,"),
    "vec": (vec, np.ones((2, 2)), f"vec: M {FILL}"),
    "mat": (lambda x: mat(x, 2, 2), np.ones(4), f"mat: v {FILL}"),
    "phi": (lambda x: phi.phi(x, 2), np.ones((3, 3, 1)), f"phi: Z_i {FILL}"),
    "relu": (phi.relu, np.ones(3), f"relu: S {FILL}"),
    "relu_derivative": (phi.relu_derivative, np.ones(3), f"relu_derivative: S {FILL}"),
    "activation": (phi.activation, np.ones(3), f"activation: S {FILL}"),
    "image_matrix": (phi.image_matrix, np.ones((2, 2, 1)), f"image_matrix: Z_i {FILL}"),
    "filter_matrix": (phi.filter_matrix, np.ones((1, 2, 2, 1)), f"filter_matrix: W {FILL}"),
    "pre_activation": (
        lambda x: phi.pre_activation(np.ones((1, 2)), np.ones((2, 3)), x), np.ones(1),
        f"pre_activation: b {FILL}",
    ),
    "P_phi": (lambda x: P_phi(x, 1), [2, 2, 1], "P_phi: shape must be (height, width, channels)"),
    "phi_operator": (lambda x: phi_operator(x, 1), [2, 2, 1], "phi_operator: shape must be (hei"),
    "phi_operator, product": (OPERATOR.matvec, np.ones(9), f"im2col: Z {FILL}"),
    "phi_operator, adjoint": (OPERATOR.rmatvec, np.ones(16), f"col2im: phi {FILL}"),
}  # fmt: skip
for layer in range(len(PARAMETERS)):
    for part, name in enumerate("Wb"):
        CALLS[f"pack, {name} of layer {layer}"] = (
            lambda x, layer=layer, part=part: packed(layer, part, lambda _: x),
            PARAMETERS[layer][part],
            f"): {name} {FILL}",
        )


@pytest.mark.catalogue(73)
@pytest.mark.parametrize("masking", [with_mask, masked], ids=["masked", "nothing masked"])
@pytest.mark.parametrize("name", CALLS)
def test_masked_array_is_refused_and_left_alone(name, masking, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, array, message = CALLS[name]
    given = masking(np.array(array() if callable(array) else array))
    before, mask = given.data.tobytes(), np.array(given.mask)
    with pytest.raises(TypeError, match=re.escape(message)):
        call(given)
    assert given.data.tobytes() == before and np.array_equal(given.mask, mask)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", CALLS)
def test_same_call_without_a_mask_is_accepted(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, array, _ = CALLS[name]
    call(np.array(array() if callable(array) else array))


def test_masked_constant_is_refused():
    for call in (lambda: Conv(2, np.ma.masked), lambda: Objective(NET, Z, Y, C=np.ma.masked)):
        with pytest.raises(TypeError, match="masked"):
            call()
