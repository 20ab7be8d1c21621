"""ResNet: residual networks, with Scale in place of batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers import Add, Dense, Normal, Scale
from ..network import Network
from .chain import Chain, as_width, fan_out, narrowed

# number of blocks in each of the four stages, and whether they are bottlenecks
STAGES = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
}
# channels of the outputs of a bottleneck, in relation to those inside
EXPANSION = 4


def resnet(
    depth: int = 18,
    classes: int = 1000,
    input_shape: Sequence[int] = (224, 224, 3),
    dtype: Any = np.float64,
    width: float = 1.0,
) -> Network:
    """Return ResNet; each convolution has no bias and is followed by a Scale layer.

    Scale is what batch normalisation is once its moments are fixed: `Network.normalized` gives
    gains and biases for which it normalises a sample of images. Parameters for 1000 classes:
    11,689,512 for depth 18, 21,797,672 for 34, 25,557,032 for 50, as torchvision's, whose order of
    layers this is. In a bottleneck the convolution of 3 x 3 has the stride.

    Initially, as in torchvision, W of a convolution is drawn from N(0, 2/K), where K is the number
    of outputs on which one input has an influence, gains are 1, and biases are 0. W of the dense
    layer has the variance 1/(3 K) of torchvision's uniform distribution, where K is the number of
    inputs.

    Parameters
    ----------
    depth : 18, 34 or 50
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
    K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition" (2016).
    """
    if depth not in STAGES:
        raise ValueError(
            f"resnet: depth must be one of {', '.join(map(str, STAGES))}, got {depth!r}"
        )
    width = as_width("resnet", width)
    repeats, bottleneck = STAGES[depth]
    chain = Chain("resnet", input_shape)
    d = narrowed(64, width)
    _conv(chain, "conv1", d, 7, 2, "relu")
    chain.max_pool(3, 2, 1, name="pool1")
    before, channels = "pool1", d
    for stage, count in enumerate(repeats):
        inner = narrowed(64 << stage, width)
        outer = EXPANSION * inner if bottleneck else inner
        for k in range(count):
            name, stride = f"block{stage + 1}.{k + 1}", 2 if stage > 0 and k == 0 else 1
            size = chain.size
            if bottleneck:
                _conv(chain, f"{name}.conv1", inner, 1, 1, "relu")
                _conv(chain, f"{name}.conv2", inner, 3, stride, "relu")
                _conv(chain, f"{name}.conv3", outer, 1, 1)
            else:
                _conv(chain, f"{name}.conv1", inner, 3, stride, "relu")
                _conv(chain, f"{name}.conv2", inner, 3, 1)
            after, shortcut = chain.layers[-1].name, before
            if stride > 1 or channels != outer:
                shortcut, reached, chain.size = f"{name}.shortcut", chain.size, size
                _conv(chain, shortcut, outer, 1, stride, inputs=before)
                shortcut, chain.size = f"{shortcut}.scale", reached
            chain.add(Add(inputs=[str(after), shortcut], activation="relu", name=name))
            before, channels = name, outer
    chain.global_pool()
    chain.add(Dense(classes, init=Normal(scale=1 / 3)))
    return Network(input_shape, chain.layers, dtype)


def _conv(
    chain: Chain,
    name: str,
    channels: int,
    kernel: int,
    stride: int,
    activation: str | None = None,
    inputs: str | None = None,
) -> None:
    """Append a convolution and its Scale."""
    init = fan_out(channels, kernel)
    chain.conv(
        channels, kernel, stride, kernel // 2, bias=False, name=name, inputs=inputs, init=init
    )
    chain.add(Scale(activation, name=f"{name}.scale"))
