"""DnCNN: a denoising network, whose output is the input minus the noise that it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arguments import as_count
from ..layers import Add, Conv, Layer, Normal, Scale
from ..network import Network
from .chain import as_width, narrowed


def dncnn(
    depth: int = 17,
    input_shape: Sequence[int] = (40, 40, 1),
    dtype: Any = np.float64,
    width: float = 1.0,
) -> Network:
    """Return DnCNN, which removes noise from images; the output has the shape of the input.

    The first convolution is followed by a ReLU, each of the ``depth - 2`` convolutions without bias
    between the first and the last one by a Scale layer with a ReLU. 556,097 parameters for depth 17
    and images with one channel. W is drawn from N(0, 2/K) with K = 9 x 64 in every layer.

    Parameters
    ----------
    depth : int
        Number of convolutions, at least 2.
    input_shape, dtype, width
        See `matconv.presets`.

    Returns
    -------
    net : Network

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang, "Beyond a Gaussian denoiser: residual learning of
    deep CNN for image denoising" (2017).
    """
    depth = as_count("dncnn: depth", depth, 2)
    d = narrowed(64, as_width("dncnn", width))
    init = Normal((2 / (9 * d)) ** 0.5)
    layers: list[Layer] = [Conv(d, 3, pad=1, activation="relu", init=init)]
    for _ in range(depth - 2):
        layers += [Conv(d, 3, pad=1, bias=False, init=init), Scale("relu")]
    layers += [
        Conv(tuple(input_shape)[-1], 3, pad=1, init=init, name="noise"),
        Add(inputs=["input", "noise"], factors=(1, -1)),
    ]
    return Network(input_shape, layers, dtype)
