"""Data-dependent initialisation: gains and biases that normalise each channel over images."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .graph import title

# elements of the values that are computed at once
ELEMENTS = 1 << 22


class Moments:
    """Mean and variance of each channel over images that are added in parts.

    The sums of two parts are combined by the formula of Chan, Golub and LeVeque, "Algorithms for
    computing the sample variance: analysis and recommendations" (1983), in float64.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        self._count = 0
        self.mean = np.zeros(channels)
        self._squares = np.zeros(channels)  # of deviations from the mean
        self._lowest = np.full(channels, np.inf)
        self._highest = np.full(channels, -np.inf)

    def add(self, values: np.ndarray) -> None:
        """Add values of shape (..., channels)."""
        rows = values.reshape(-1, len(self.mean)).astype(np.float64)
        mean, count = rows.mean(0), len(rows)
        squares = ((rows - mean) ** 2).sum(0)
        total, difference = self._count + count, mean - self.mean
        self.mean += difference * (count / total)
        self._squares += squares + difference**2 * (self._count * count / total)
        self._count = total
        self._lowest = np.minimum(self._lowest, rows.min(0))
        self._highest = np.maximum(self._highest, rows.max(0))

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of each channel; 1 if all its values are equal."""
        constant = self._lowest == self._highest
        return np.where(constant, 1.0, np.sqrt(self._squares / self._count))


def normalized(net: Any, theta: np.ndarray, Z: np.ndarray) -> np.ndarray:
    """Return theta with other gains and biases of Scale layers; see `Network.normalized`."""
    theta = theta.copy()
    views = dict(net.layout.views(theta))
    for k, node in enumerate(net._nodes):
        if not node.layer.normalizes or node.record.owner is not None:
            continue
        if not node.layer.bias:
            problem = "has no bias, which normalisation sets"
            raise ValueError(f"Network: {title(k, node.layer)} {problem}")
        moments = Moments(node.shape[-1])
        source = node.record.inputs[0]
        for values in _values(net, theta, Z, source, k):
            if not np.isfinite(values).all():
                raise ValueError(f"Network: the inputs of {title(k, node.layer)} are not finite")
            with np.errstate(over="ignore"):
                moments.add(values)
        if not np.isfinite(moments.deviation).all():
            raise ValueError(
                f"Network: the variance of the inputs of {title(k, node.layer)} overflows"
            )
        gain, bias = views[k]
        gain[...] = 1 / moments.deviation
        bias[...] = -moments.mean / moments.deviation
    return theta


def _values(net: Any, theta: np.ndarray, Z: np.ndarray, source: int, k: int) -> Any:
    """Yield a value that layer k reads, for some of the images at a time."""
    if source == 0:
        images = max(1, ELEMENTS // prod(net.input_shape))
        yield from (Z[first : first + images] for first in range(0, len(Z), images))
        return
    # the first k layers; those that none of them reads are outputs as well
    nodes = net._nodes[:k]
    read = {value for node in nodes for value in node.record.inputs}
    wanted = [source, *(v for v in range(1, k + 1) if v not in read and v != source)]
    part = type(net)(
        net.input_shape,
        net.layers[:k],
        net.dtype,
        net.algorithm,
        [net.names[value - 1] for value in wanted],
    )
    images = max(1, ELEMENTS // sum(prod(nodes[value - 1].shape) for value in wanted))
    for first in range(0, len(Z), images):
        found = part.forward(theta[: part.n], Z[first : first + images])
        yield found[0] if len(wanted) > 1 else found
