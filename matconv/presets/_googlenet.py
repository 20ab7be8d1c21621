"""GoogLeNet: inception modules, with LRN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers import LRN, Concat, Conv, Dense, Dropout, MaxPool, Normal
from ..network import Network
from .chain import Chain, as_width, narrowed

# of each inception module: channels of the 1 x 1, of those before the 3 x 3 and of the 3 x 3, of
# those before the 5 x 5 and of the 5 x 5, of the one after pooling; None for pooling
MODULES = (
    ("3a", (64, 96, 128, 16, 32, 32)),
    ("3b", (128, 128, 192, 32, 96, 64)),
    None,
    ("4a", (192, 96, 208, 16, 48, 64)),
    ("4b", (160, 112, 224, 24, 64, 64)),
    ("4c", (128, 128, 256, 24, 64, 64)),
    ("4d", (112, 144, 288, 32, 64, 64)),
    ("4e", (256, 160, 320, 32, 128, 128)),
    None,
    ("5a", (256, 160, 320, 32, 128, 128)),
    ("5b", (384, 192, 384, 48, 128, 128)),
)
# Caffe's "xavier": the variance is 1 / the number of inputs of one output
INIT = Normal(scale=1, bias=0.2)


def googlenet(
    classes: int = 1000,
    input_shape: Sequence[int] = (224, 224, 3),
    dtype: Any = np.float64,
    width: float = 1.0,
) -> Network:
    """Return GoogLeNet without the two auxiliary outputs, with dropout before the dense layer.

    6,998,552 parameters for 1000 classes. As in Caffe, LRN has k = 1 and alpha = 0.0001 / 5, the
    number of outputs of a pooling layer is rounded up, and initially W has the variance 1/K, where
    K is the number of inputs of one output, and biases are 0.2, in the dense layer 0.

    Parameters
    ----------
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
    C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan, V. Vanhoucke,
    A. Rabinovich, "Going deeper with convolutions" (2015).
    """
    width = as_width("googlenet", width)
    chain = Chain("googlenet", input_shape)
    chain.conv(narrowed(64, width), 7, 2, 3, activation="relu", init=INIT)
    chain.max_pool(3, 2, ceil=True)
    chain.add(LRN(5, 1, 1e-4 / 5, 0.75))
    chain.conv(narrowed(64, width), 1, activation="relu", init=INIT)
    chain.conv(narrowed(192, width), 3, pad=1, activation="relu", init=INIT)
    chain.add(LRN(5, 1, 1e-4 / 5, 0.75))
    chain.max_pool(3, 2, ceil=True, name="pool2")
    before = "pool2"
    for module in MODULES:
        if module is None:
            before = f"{before}.pool"
            chain.max_pool(3, 2, ceil=True, name=before)
        else:
            name, channels = module
            _inception(chain, before, name, [narrowed(d, width) for d in channels])
            before = name
    chain.global_pool()
    chain.add(Dropout(0.4), Dense(classes, init=Normal(scale=1)))
    return Network(input_shape, chain.layers, dtype)


def _inception(chain: Chain, before: str, name: str, channels: Sequence[int]) -> None:
    """Append an inception module: four branches that read one value, and their outputs joined."""
    one, reduced3, three, reduced5, five, pooled = channels
    names = [f"{name}.{branch}" for branch in ("1x1", "3x3", "5x5", "pooled")]
    options: dict[str, Any] = {"activation": "relu", "init": INIT}
    chain.add(
        Conv(one, 1, inputs=before, name=names[0], **options),
        Conv(reduced3, 1, inputs=before, **options),
        Conv(three, 3, pad=1, name=names[1], **options),
        Conv(reduced5, 1, inputs=before, **options),
        Conv(five, 5, pad=2, name=names[2], **options),
        MaxPool(3, 1, 1, inputs=before),
        Conv(pooled, 1, name=names[3], **options),
        Concat(inputs=names, name=name),
    )
