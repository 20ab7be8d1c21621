"""Networks that enlarge their images first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..graph import shape_text
from ..layers import Layer, Upsample
from ..network import Network

# name of the layer that enlarges the images
NAME = "enlarged"


def for_smaller_images(net: Network, shape: Sequence[int]) -> Network:
    """Return a network that enlarges images of a shape, by repeating pixels, for another one.

    Parameters
    ----------
    net : Network
    shape : (height, width, channels)
        The height and the width of the network's images are multiples of these.

    Returns
    -------
    net : Network
        Its first layer is an `Upsample`; the argument if the images have the right shape.

    Raises
    ------
    ValueError
        If the images cannot be enlarged to the shape that the network needs.

    Examples
    --------
    >>> from matconv import Dense, Network
    >>> for_smaller_images(Network((4, 6, 1), [Dense(3)]), (2, 2, 1)).layers[0]
    Upsample(factor=(2, 3), method='nearest', align_corners=False, name='enlarged')
    """
    factors = [n // m for n, m in zip(net.input_shape, shape)]
    if [f * m for f, m in zip(factors, shape)] != list(net.input_shape) or factors[2] != 1:
        raise ValueError(
            f"images of {shape_text(shape)} cannot be enlarged to {shape_text(net.input_shape)}: "
            "the height and the width must be multiples, the channels the same"
        )
    if factors == [1, 1, 1]:
        return net
    layers: list[Layer] = [Upsample(tuple(factors[:2]), name=NAME)]
    for layer, name in zip(net.layers, net.names):
        inputs = layer.inputs
        if inputs is not None:
            inputs = [NAME if one == "input" else one for one in inputs]
        layers.append(dataclasses.replace(layer, name=name, inputs=inputs))
    return Network(shape, layers, net.dtype, net.algorithm, net.outputs)
