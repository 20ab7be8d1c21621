"""VGG: networks of convolutional layers of 3 x 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers import Dense, Dropout, Normal
from ..network import Network
from .chain import Chain, as_width, fan_out, narrowed

# number of convolutional layers in each of the five blocks
BLOCKS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
CHANNELS = (64, 128, 256, 512, 512)


def vgg(
    depth: int = 16,
    classes: int = 1000,
    input_shape: Sequence[int] = (224, 224, 3),
    dtype: Any = np.float64,
    width: float = 1.0,
) -> Network:
    """Return VGG, with dropout after each hidden dense layer.

    Parameters for images of 224 x 224 x 3 and 1000 classes: 132,863,336 for depth 11, 133,047,848
    for 13, 138,357,544 for 16, 143,667,240 for 19. Images of 32 x 32 have one pixel after the last
    pooling: 28,144,010 parameters for depth 11 and 10 classes.

    Initially, as in torchvision, W of a convolution is drawn from N(0, 2/K), where K is the number
    of outputs on which one input has an influence, and W of a dense layer from N(0, 0.01^2); b is 0.

    Parameters
    ----------
    depth : 11, 13, 16 or 19
        Number of layers with parameters.
    classes, input_shape, dtype, width
        See `matconv.presets`.

    Returns
    -------
    net : Network

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or the images are too small.

    References
    ----------
    K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition"
    (2015).
    """
    if depth not in BLOCKS:
        raise ValueError(f"vgg: depth must be one of {', '.join(map(str, BLOCKS))}, got {depth!r}")
    width = as_width("vgg", width)
    chain = Chain("vgg", input_shape)
    for repeats, channels in zip(BLOCKS[depth], CHANNELS):
        d = narrowed(channels, width)
        for _ in range(repeats):
            chain.conv(d, 3, pad=1, activation="relu", init=fan_out(d, 3))
        chain.max_pool(2, 2)
    hidden, init = narrowed(4096, width), Normal(0.01)
    for _ in range(2):
        chain.add(Dense(hidden, activation="relu", init=init), Dropout(0.5))
    chain.add(Dense(classes, init=init))
    return Network(input_shape, chain.layers, dtype)
