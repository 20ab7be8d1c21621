"""MobileNetV2: depthwise convolutions between those of 1 x 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..activations import Clip
from ..layers import Add, Dense, Dropout, Normal, Scale
from ..network import Network
from .chain import Chain, as_width, fan_out

# of each stage: factor of the channels inside of a block, channels, number of blocks, stride
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def divisible(channels: float) -> int:
    """Return a multiple of 8 near to a number of channels, not below 90 % of it.

    >>> divisible(16.0), divisible(12.0), divisible(20.4), divisible(1.0)
    (16, 16, 24, 8)
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def mobilenet_v2(
    classes: int = 1000,
    input_shape: Sequence[int] = (224, 224, 3),
    dtype: Any = np.float64,
    width: float = 1.0,
) -> Network:
    """Return MobileNetV2; each convolution has no bias and is followed by a Scale layer.

    3,504,872 parameters for 1000 classes. The order of layers and their initialisation are
    torchvision's: W of a convolution is drawn from N(0, 2/K), where K is the number of output
    channels times the pixels of the kernel, W of the dense layer from N(0, 0.01^2); gains are 1 and
    biases 0.

    Parameters
    ----------
    classes, input_shape, dtype, width
        See `matconv.presets`. Numbers of channels are multiples of 8, and a width below 1 does not
        change the last 1280 channels, as in torchvision.

    Returns
    -------
    net : Network

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or the images are too small.

    References
    ----------
    M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: inverted residuals and
    linear bottlenecks" (2018).
    """
    width = as_width("mobilenet_v2", width)
    chain = Chain("mobilenet_v2", input_shape)
    channels = divisible(32 * width)
    _conv(chain, "conv1", channels, 3, 2)
    before = "conv1.scale"
    for stage, (factor, outputs, count, first_stride) in enumerate(STAGES):
        outer = divisible(outputs * width)
        for k in range(count):
            name, stride = f"block{stage + 1}.{k + 1}", first_stride if k == 0 else 1
            inner = channels * factor
            if factor > 1:
                _conv(chain, f"{name}.expand", inner, 1)
            _conv(chain, f"{name}.depthwise", inner, 3, stride, inner)
            _conv(chain, f"{name}.project", outer, 1, clipped=False)
            after = f"{name}.project.scale"
            if stride == 1 and channels == outer:
                chain.add(Add(inputs=[before, after], name=name))
                after = name
            before, channels = after, outer
    _conv(chain, "conv2", divisible(1280 * max(1.0, width)), 1)
    chain.global_pool()
    chain.add(Dropout(0.2), Dense(classes, init=Normal(0.01)))
    return Network(input_shape, chain.layers, dtype)


def _conv(
    chain: Chain,
    name: str,
    channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    *,
    clipped: bool = True,
) -> None:
    """Append a convolution and its Scale, whose output is clipped to [0, 6]."""
    chain.conv(
        channels,
        kernel,
        stride,
        kernel // 2,
        groups=groups,
        bias=False,
        name=name,
        init=fan_out(channels, kernel),
    )
    chain.add(Scale(Clip(0, 6) if clipped else None, name=f"{name}.scale"))
