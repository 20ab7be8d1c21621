"""The checks of `matconv check`: the gradient of f, and the adjoint of each layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..network import Network
from ..objective import Objective

DIRECTIONS = 4
# f is smooth but for the kinks of ReLU and max-pooling: the step is short, so that few of them
# are on the way, and long enough for the rounding of f, eps / STEP, to stay under the bound
STEP = 1e-7
GRADIENT_BOUND = 1e-7
# of the gradient in float32 against the one in float64
SINGLE_BOUND = 1e-3
# sums of at most some thousands of products of either sign
ADJOINT_BOUNDS = {"float64": 1e-12, "float32": 1e-4}


class Check(NamedTuple):
    """A number that must not be over its bound."""

    name: str
    difference: float
    bound: float

    @property
    def holds(self) -> bool:
        """A NaN does not hold."""
        return bool(self.difference <= self.bound)


def checks(
    net: Network, loss: str, images: int, seed: int, n_threads: int | None = None
) -> Iterator[Check]:
    """All checks of a network, one after the other."""
    random = np.random.default_rng(seed)
    Z = random.standard_normal((images, *net.input_shape))
    y = random.integers(0, net.n_outputs, images)
    theta = net.init(seed).astype(np.float64)
    # biases away from 0, so that their gradients count as well
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
    """(f(theta + h v) - f(theta - h v)) / 2h = v'gradient, relative to |v| |gradient|."""
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
    """Each layer alone, without bias and ReLU: <Z_out, dZ_out> = <Z, dZ> = <W, dW>."""
    linear = [
        type(layer)(**{**vars(layer), "activation": None})
        if hasattr(layer, "activation")
        else layer
        for layer in net.layers
    ]
    layers = Network(net.input_shape, linear, net.dtype, net.algorithm).workspace(2).layers
    for k, (layer, bound) in enumerate(zip(linear, layers)):
        for name, difference in _adjoint(bound, net.dtype, random):
            what = f"adjoint of layer {k} ({layer.kind}), {name}"
            yield Check(what, difference, ADJOINT_BOUNDS[net.dtype.name])


def _adjoint(
    bound: Any, dtype: np.dtype, random: np.random.Generator
) -> Iterator[tuple[str, float]]:
    def some(shape: tuple[int, ...]) -> np.ndarray:
        return random.standard_normal(shape).astype(dtype)

    l = 2
    Z, dZ_out = some((l, *bound.shape)), some((l, *bound.out_shape))
    Z_out, dZ = np.empty_like(dZ_out), np.empty_like(Z)
    W = b = dW = db = indices = None
    if bound.W_shape is not None:
        W, b = some(bound.W_shape), np.zeros(bound.b_shape, dtype)
        dW, db = np.empty_like(W), np.empty_like(b)
    if bound.keeps_indices:
        indices = np.empty(Z_out.shape, np.intc)
    scratch = np.empty(bound.scratch_size(), dtype)
    bound.forward(Z, W, b, Z_out, scratch, indices)
    # dZ_out is overwritten
    bound.backward(dZ_out.copy(), Z, Z_out, W, dW, db, dZ, scratch, indices)
    scale = float(np.linalg.norm(Z_out)) * float(np.linalg.norm(dZ_out))
    truth = _dot(Z_out, dZ_out)
    yield "images", abs(_dot(Z, dZ) - truth) / scale
    if W is not None and dW is not None:
        yield "weights", abs(_dot(W, dW) - truth) / scale


def _dot(x: np.ndarray, y: np.ndarray) -> float:
    return float(x.ravel().astype(np.float64) @ y.ravel().astype(np.float64))
