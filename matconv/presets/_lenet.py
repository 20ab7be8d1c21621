"""Small networks: digits, and LeNet in two forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers import Conv, Dense, MaxPool, Normal
from ..network import Network


def digits(
    classes: int = 10, input_shape: Sequence[int] = (8, 8, 1), dtype: Any = np.float64
) -> Network:
    """Return a network for small images: two convolutional layers and a dense one.

    Parameters
    ----------
    classes, input_shape, dtype
        See `matconv.presets`.

    Returns
    -------
    net : Network
    """
    layers = [
        Conv(16, 3, pad="same", activation="relu"),
        Conv(32, 3, pad="same", activation="relu"),
        MaxPool(2),
        Dense(classes),
    ]
    return Network(input_shape, layers, dtype)


def lenet(
    classes: int = 10, input_shape: Sequence[int] = (28, 28, 1), dtype: Any = np.float64
) -> Network:
    """Return LeNet with ReLU: two convolutional layers of 5 x 5 and two dense ones.

    431,080 parameters for images of 28 x 28 x 1 and 10 classes.

    Parameters
    ----------
    classes, input_shape, dtype
        See `matconv.presets`.

    Returns
    -------
    net : Network

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
    recognition" (1998).
    """
    layers = [
        Conv(20, 5, activation="relu"),
        MaxPool(2),
        Conv(50, 5, activation="relu"),
        MaxPool(2),
        Dense(500, activation="relu"),
        Dense(classes),
    ]
    return Network(input_shape, layers, dtype)


def lenet_matconvnet(
    classes: int = 10, input_shape: Sequence[int] = (28, 28, 1), dtype: Any = np.float64
) -> Network:
    """Return LeNet as MatConvNet's example for MNIST has it, which has only one ReLU.

    431,080 parameters for images of 28 x 28 x 1 and 10 classes. W is drawn from N(0, 0.01^2).

    Parameters
    ----------
    classes, input_shape, dtype
        See `matconv.presets`. The last two layers are convolutions: for images of 28 x 28 the
        output has one pixel, for larger ones several.

    Returns
    -------
    net : Network
    """
    init = Normal(0.01)
    layers = [
        Conv(20, 5, init=init),
        MaxPool(2),
        Conv(50, 5, init=init),
        MaxPool(2),
        Conv(500, 4, activation="relu", init=init),
        Conv(classes, 1, init=init),
    ]
    return Network(input_shape, layers, dtype)
