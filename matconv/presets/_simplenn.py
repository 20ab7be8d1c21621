"""Networks of simpleNN, the implementation that accompanies the lecture notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers import Conv, Dense, Layer, MaxPool
from ..network import Network

# (channels, kernel) of the convolutional layers, by block; 3 and 4 are two names of one network
BLOCKS = {
    3: (((32, 5),), ((64, 3),), ((64, 3),)),
    4: (((32, 5),), ((64, 3),), ((64, 3),)),
    7: (((32, 5), (32, 3)), ((64, 3), (64, 3)), ((64, 3), (128, 3))),
}


def simplenn(
    depth: int = 4,
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    dtype: Any = np.float64,
) -> Network:
    """Return a network of simpleNN: three blocks that end with pooling, and a dense layer.

    Parameters
    ----------
    depth : 3, 4 or 7
        Number of layers with parameters: 4, also called 3, the number of convolutional ones; or 7.
    classes, input_shape, dtype
        See `matconv.presets`.

    Returns
    -------
    net : Network

    Raises
    ------
    ValueError
        If there is no such network.
    """
    if depth not in BLOCKS:
        raise ValueError(
            f"simplenn: depth must be one of {', '.join(map(str, BLOCKS))}, got {depth!r}"
        )
    layers: list[Layer] = []
    for block in BLOCKS[depth]:
        layers += [Conv(d, h, pad="same", activation="relu") for d, h in block]
        layers.append(MaxPool(2))
    return Network(input_shape, [*layers, Dense(classes)], dtype)
