"""Checks of the derivatives of a network and of the adjoint of each layer, for `matconv check`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..checking import ADJOINT_BOUNDS, Check, check_gradient, check_products
from ..layers import Scale
from ..network import Network
from ..objective import Objective

# bound of the relative difference between results in float32 and float64
SINGLE_BOUND = 1e-3


def checks(
    net: Network, loss: str, images: int, seed: int, n_threads: int | None = None
) -> Iterator[Check]:
    """Yield all checks of a network."""
    random = np.random.default_rng(seed)
    Z = random.standard_normal((images, *net.input_shape))
    y = random.integers(0, net.n_outputs, images)
    theta = net.init(seed).astype(np.float64)
    # initial biases are 0; their gradients are checked at other values
    theta += 0.01 * random.standard_normal(net.n)
    wide = Network(net.input_shape, net.layers, algorithm=net.algorithm)
    f = Objective(wide, Z, y, loss, C=100, n_threads=n_threads)
    yield from check_gradient(f, theta, seed)
    yield from check_products(f, theta, seed)
    if net.dtype == np.float32:
        narrow = Objective(net, Z.astype(np.float32), y, loss, C=100, n_threads=n_threads)
        yield from _single(f, narrow, theta, random.standard_normal(net.n))
        yield from check_products(narrow, theta.astype(np.float32), seed)
    yield from _adjoints(net, random)


def _single(f: Objective, narrow: Objective, theta: np.ndarray, v: np.ndarray) -> Iterator[Check]:
    """Compare the gradient and products in float32 with those in float64."""
    single = [x.astype(np.float32) for x in (theta, v)]
    for name, one, other in (
        ("gradient", f.gradient(theta), narrow.gradient(single[0])),
        ("Gauss-Newton product", f.gnp(theta, v), narrow.gnp(*single)),
        ("Hessian product", f.hessp(theta, v), narrow.hessp(*single)),
    ):
        difference = np.linalg.norm(other.astype(np.float64) - one) / np.linalg.norm(one)
        yield Check(f"{name}, float32 against float64", float(difference), SINGLE_BOUND)


def _adjoints(net: Network, random: np.random.Generator) -> Iterator[Check]:
    """Check the adjoint of each layer that is linear in its single input.

    A network of this layer alone, without bias and activation, has
    <Z_out, dZ_out> = <Z, dZ> = <W, dW>.
    """
    for k, (layer, shape) in enumerate(zip(net.layers, net.input_shapes)):
        if layer.input_limits()[1] > 1 or not layer.linear:
            continue
        options: dict[str, Any] = {
            "activation": None,
            "bias": False,
            "parameters": None,
            "inputs": None,
        }
        known = {field.name for field in dataclasses.fields(layer)}
        plain = dataclasses.replace(
            layer, **{name: value for name, value in options.items() if name in known}
        )
        # a vector as an image of one pixel
        shape = shape if len(shape) == 3 else (1, 1, *shape)
        # a Scale with gain 1 before the layer: d gain, the sum of Z dZ per channel, gives <Z, dZ>
        alone = Network(shape, [Scale(bias=False), plain], net.dtype, net.algorithm)
        for name, difference in _adjoint(alone, random):
            what = f"adjoint of layer {k} ({layer.kind}), {name}"
            yield Check(what, difference, ADJOINT_BOUNDS[net.dtype.name])


def _adjoint(net: Network, random: np.random.Generator) -> Iterator[tuple[str, float]]:
    l, channels = 2, net.input_shape[2]
    theta = random.standard_normal(net.n).astype(net.dtype)
    theta[:channels] = 1
    Z = random.standard_normal((l, *net.input_shape)).astype(net.dtype)
    dZ_out = random.standard_normal((l, net.n_outputs)).astype(net.dtype)
    program = net.program()
    prepared = np.empty(program.prepared_bytes, np.uint8)
    block = np.empty(program.training_bytes, np.uint8)
    dtheta = np.empty_like(theta)
    program.prepare(theta, prepared, True)
    Z_out = program.forward(theta, prepared, Z, block).copy()
    program.backward(theta, prepared, Z, dZ_out, block, dtheta)
    scale = float(np.linalg.norm(Z_out)) * float(np.linalg.norm(dZ_out))
    truth = _dot(Z_out, dZ_out)
    yield "images", abs(float(dtheta[:channels].sum(dtype=np.float64)) - truth) / scale
    if net.n > channels:
        yield "weights", abs(_dot(theta[channels:], dtheta[channels:]) - truth) / scale


def _dot(x: np.ndarray, y: np.ndarray) -> float:
    return float(x.ravel().astype(np.float64) @ y.ravel().astype(np.float64))
