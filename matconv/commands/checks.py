"""Checks of the gradient of f and of the adjoint of each layer, for `matconv check`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..layers import Scale
from ..network import Network
from ..objective import Objective

DIRECTIONS = 4
# Length of the step of central differences: short enough to cross few of the kinks of f that ReLU and
# max-pooling cause, long enough for the rounding error of the difference, eps / STEP, to be small.
STEP = 1e-7
GRADIENT_BOUND = 1e-7
# bound of the relative difference between the gradients in float32 and float64
SINGLE_BOUND = 1e-3
# relative, for sums of up to some thousands of products of either sign
ADJOINT_BOUNDS = {"float64": 1e-12, "float32": 1e-4}


class Check(NamedTuple):
    """Result of a check: a difference and its bound."""

    name: str
    difference: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within its bound; False for NaN."""
        return bool(self.difference <= self.bound)


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
    gradient = f.gradient(theta)
    yield from _differences(f, theta, gradient, random)
    if net.dtype == np.float32:
        narrow = Objective(net, Z.astype(np.float32), y, loss, C=100, n_threads=n_threads)
        single = narrow.gradient(theta.astype(np.float32)).astype(np.float64)
        difference = np.linalg.norm(single - gradient) / np.linalg.norm(gradient)
        yield Check("gradient, float32 against float64", float(difference), SINGLE_BOUND)
    yield from _adjoints(net, random)


def _differences(
    f: Objective, theta: np.ndarray, gradient: np.ndarray, random: np.random.Generator
) -> Iterator[Check]:
    """Compare (f(theta + h v) - f(theta - h v)) / 2h with v'gradient, relative to |gradient|."""
    norm = float(np.linalg.norm(gradient))
    for k in range(DIRECTIONS):
        v = random.standard_normal(len(theta))
        v /= np.linalg.norm(v)
        if k == 0:
            v = gradient / norm
        slope = (f(theta + STEP * v) - f(theta - STEP * v)) / (2 * STEP)
        along = "itself" if k == 0 else f"random direction {k}"
        yield Check(
            f"gradient along {along}", abs(slope - float(v @ gradient)) / norm, GRADIENT_BOUND
        )


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
