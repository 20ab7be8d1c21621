"""AlexNet: as in the paper, as in Caffe, as in torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..layers import LRN, Dense, Dropout, Normal
from ..network import Network
from .chain import Chain, as_width, narrowed


class Variant(NamedTuple):
    """What distinguishes the variants with two groups of channels.

    Attributes
    ----------
    k, alpha : float
        Arguments of LRN.
    bias : float
        Initial value of the biases of the convolutions 2, 4, 5 and of the hidden dense layers.
    hidden : float
        Initial standard deviation of W of the hidden dense layers.
    pool_first : bool
        Whether pooling precedes LRN.
    """

    k: float
    alpha: float
    bias: float
    hidden: float
    pool_first: bool = False


GROUPED = {
    "paper": Variant(2, 1e-4, 1, 0.01),
    "caffe": Variant(1, 1e-4 / 5, 0.1, 0.005),
    "caffenet": Variant(1, 1e-4 / 5, 1, 0.005, pool_first=True),
}
VARIANTS = (*GROUPED, "torchvision")


def alexnet(
    variant: str = "paper",
    classes: int = 1000,
    input_shape: Sequence[int] | None = None,
    dtype: Any = np.float64,
    width: float = 1.0,
) -> Network:
    """Return AlexNet.

    Of "paper", "caffe" and "caffenet", with 60,965,224 parameters for 1000 classes, the
    convolutions 2, 4 and 5 have two groups of channels, and LRN follows the first two. W is drawn
    from N(0, 0.01^2), in the hidden dense layers of the latter two from N(0, 0.005^2). Biases are 0,
    but 1 ("caffe": 0.1) in the convolutions 2, 4, 5 and in the hidden dense layers. "caffenet" has
    pooling before LRN. "torchvision", with 61,100,840, has neither groups nor LRN, and dropout
    before the dense layers; initially W has the variance 1/(3 K) of torchvision's uniform
    distribution, where K is the number of inputs of one output.

    In a narrow version of the first three, standard deviations are divided by sqrt(width) in all
    layers but the first, so that sums have the same variance.

    The paper's recipe is sgd with batches of 128, momentum 0.9, a decay of 0.0005, and a learning
    rate of 0.01 that is divided by 10 three times.

    Parameters
    ----------
    variant : "paper", "caffe", "caffenet" or "torchvision"
    classes, dtype, width
        See `matconv.presets`.
    input_shape : (height, width, channels), optional
        By default (227, 227, 3), for "torchvision" (224, 224, 3). At least 67 x 67.

    Returns
    -------
    net : Network

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or the images are too small.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep convolutional
    neural networks" (2012); A. Krizhevsky, "One weird trick for parallelizing convolutional neural
    networks" (2014), for the variant of torchvision.
    """
    if variant not in VARIANTS:
        raise ValueError(f"alexnet: variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    width = as_width("alexnet", width)
    if variant == "torchvision":
        return _one_column(classes, input_shape or (224, 224, 3), dtype, width)
    return _grouped(GROUPED[variant], classes, input_shape or (227, 227, 3), dtype, width)


def _grouped(
    variant: Variant, classes: int, input_shape: Sequence[int], dtype: Any, width: float
) -> Network:
    """Return a variant with two groups of channels."""
    chain = Chain("alexnet", input_shape)
    # fewer inputs: sums keep their variance
    factor = width**-0.5
    plain, shifted = Normal(0.01 * factor), Normal(0.01 * factor, bias=variant.bias)

    def channels(count: int) -> int:
        return narrowed(count, width, 2)

    def normalise() -> None:
        lrn = LRN(5, variant.k, variant.alpha, 0.75)
        if variant.pool_first:
            chain.max_pool(3, 2)
            chain.add(lrn)
        else:
            chain.add(lrn)
            chain.max_pool(3, 2)

    chain.conv(channels(96), 11, 4, activation="relu", init=Normal(0.01))
    normalise()
    chain.conv(channels(256), 5, pad=2, groups=2, activation="relu", init=shifted)
    normalise()
    chain.conv(channels(384), 3, pad=1, activation="relu", init=plain)
    chain.conv(channels(384), 3, pad=1, groups=2, activation="relu", init=shifted)
    chain.conv(channels(256), 3, pad=1, groups=2, activation="relu", init=shifted)
    chain.max_pool(3, 2)
    hidden = Normal(variant.hidden * factor, bias=variant.bias)
    for _ in range(2):
        chain.add(Dense(channels(4096), activation="relu", init=hidden), Dropout(0.5))
    chain.add(Dense(classes, init=plain))
    return Network(input_shape, chain.layers, dtype)


def _one_column(classes: int, input_shape: Sequence[int], dtype: Any, width: float) -> Network:
    """Return the variant of torchvision."""
    chain, init = Chain("alexnet", input_shape), Normal(scale=1 / 3)
    chain.conv(narrowed(64, width), 11, 4, 2, activation="relu", init=init)
    chain.max_pool(3, 2)
    chain.conv(narrowed(192, width), 5, pad=2, activation="relu", init=init)
    chain.max_pool(3, 2)
    for count in (384, 256, 256):
        chain.conv(narrowed(count, width), 3, pad=1, activation="relu", init=init)
    chain.max_pool(3, 2)
    for _ in range(2):
        chain.add(Dropout(0.5), Dense(narrowed(4096, width), activation="relu", init=init))
    chain.add(Dense(classes, init=init))
    return Network(input_shape, chain.layers, dtype)
