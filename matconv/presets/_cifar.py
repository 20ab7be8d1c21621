"""Networks for CIFAR-10 from MatConvNet's examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers import Activation, AvgPool, Conv, Dropout, Layer, MaxPool, Normal
from ..network import Network

# padding at the bottom and at the right, which rounds up the number of outputs as Caffe does
CAFFE = ((0, 1), (0, 1))


def cifar_quick(
    classes: int = 10, input_shape: Sequence[int] = (32, 32, 3), dtype: Any = np.float64
) -> Network:
    """Return the network "quick" of Caffe and MatConvNet for CIFAR-10.

    145,578 parameters for 10 classes. W is drawn from N(0, 0.01^2) in the first layer and from
    N(0, 0.05^2) in the others.

    Parameters
    ----------
    classes, input_shape, dtype
        See `matconv.presets`. The last two layers are convolutions: for images of 32 x 32 the
        output has one pixel.

    Returns
    -------
    net : Network
    """
    init = Normal(0.05)
    layers = [
        Conv(32, 5, pad=2, init=Normal(0.01)),
        MaxPool(3, 2, CAFFE),
        Activation("relu"),
        Conv(32, 5, pad=2, activation="relu", init=init),
        AvgPool(3, 2, CAFFE),
        Conv(64, 5, pad=2, activation="relu", init=init),
        AvgPool(3, 2, CAFFE),
        Conv(64, 4, activation="relu", init=init),
        Conv(classes, 1, init=init),
    ]
    return Network(input_shape, layers, dtype)


def nin_cifar(
    classes: int = 10, input_shape: Sequence[int] = (32, 32, 3), dtype: Any = np.float64
) -> Network:
    """Return "network in network" for CIFAR-10 as MatConvNet has it, with dropout.

    966,986 parameters for 10 classes. W is drawn from N(0, 2/K), where K is the number of inputs of
    one output; in the last layer the standard deviation is a tenth of that.

    Parameters
    ----------
    classes, input_shape, dtype
        See `matconv.presets`. The last layer is a mean of 7 x 7 pixels: for images of 32 x 32 the
        output has one pixel.

    Returns
    -------
    net : Network

    References
    ----------
    M. Lin, Q. Chen, S. Yan, "Network in network" (2014).
    """
    layers: list[Layer] = [
        *_block(5, 192, 160, 96),
        MaxPool(3, 2),
        Dropout(0.5),
        *_block(5, 192, 192, 192),
        AvgPool(3, 2),
        Dropout(0.5),
        *_block(3, 192, 192),
        Conv(classes, 1, init=Normal(scale=0.02)),
        AvgPool(7, 1),
    ]
    return Network(input_shape, layers, dtype)


def _block(kernel: int, first: int, *channels: int) -> list[Layer]:
    """Return a convolution that keeps the size and others of 1 x 1."""
    return [
        Conv(first, kernel, pad=kernel // 2, activation="relu"),
        *(Conv(d, 1, activation="relu") for d in channels),
    ]
