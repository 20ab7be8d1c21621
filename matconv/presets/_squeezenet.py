"""SqueezeNet: few parameters by convolutions of 1 x 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers import Concat, Conv, Dropout, Normal
from ..network import Network
from .chain import Chain, as_width, narrowed

# channels and kernel of the first layer; for each further layer the channels of a fire module,
# None for pooling
VERSIONS: dict[str, tuple[tuple[int, int], tuple[tuple[int, int] | None, ...]]] = {
    "1.0": (
        (96, 7),
        (None, (16, 64), (16, 64), (32, 128), None, (32, 128), (48, 192), (48, 192), (64, 256),
         None, (64, 256)),
    ),
    "1.1": (
        (64, 3),
        (None, (16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192),
         (64, 256), (64, 256)),
    ),
}  # fmt: skip


def squeezenet(
    version: str = "1.1",
    classes: int = 1000,
    input_shape: Sequence[int] = (224, 224, 3),
    dtype: Any = np.float64,
    width: float = 1.0,
) -> Network:
    """Return SqueezeNet, with dropout before the last convolution.

    Parameters for 1000 classes: 1,248,424 for version 1.0, 1,235,496 for 1.1. The number of outputs
    of a pooling layer is rounded up, as in Caffe and torchvision. Initially W is drawn from
    N(0, 2/K), where K is the number of inputs of one output, in the last layer from N(0, 0.01^2); b
    is 0.

    Parameters
    ----------
    version : "1.0" or "1.1"
    classes, input_shape, dtype, width
        See `matconv.presets`.

    Returns
    -------
    net : Network
        Its output has one pixel, the mean of all.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or the images are too small.

    References
    ----------
    F. N. Iandola, S. Han, M. W. Moskewicz, K. Ashraf, W. J. Dally, K. Keutzer, "SqueezeNet:
    AlexNet-level accuracy with 50x fewer parameters and < 0.5MB model size" (2016).
    """
    if version not in VERSIONS:
        raise ValueError(
            f"squeezenet: version must be one of {', '.join(VERSIONS)}, got {version!r}"
        )
    width = as_width("squeezenet", width)
    chain = Chain("squeezenet", input_shape)
    (channels, kernel), rest = VERSIONS[version]
    chain.conv(narrowed(channels, width), kernel, 2, activation="relu")
    for k, module in enumerate(rest):
        if module is None:
            chain.max_pool(3, 2, ceil=True)
        else:
            _fire(chain, f"fire{k + 2}", *(narrowed(d, width) for d in module))
    chain.add(Dropout(0.5), Conv(classes, 1, activation="relu", init=Normal(0.01)))
    chain.global_pool()
    return Network(input_shape, chain.layers, dtype)


def _fire(chain: Chain, name: str, squeezed: int, expanded: int) -> None:
    """Append a fire module: few channels, from which two convolutions make many."""
    names = [f"{name}.expand{kernel}" for kernel in (1, 3)]
    chain.add(
        Conv(squeezed, 1, activation="relu", name=name),
        Conv(expanded, 1, activation="relu", inputs=name, name=names[0]),
        Conv(expanded, 3, pad=1, activation="relu", inputs=name, name=names[1]),
        Concat(inputs=names),
    )
