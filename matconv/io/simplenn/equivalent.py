"""Networks that compute the same from images and parameters in another arrangement."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from matconv.io.model import Model
from matconv.layers import Conv, Dense, Layer
from matconv.network import Network

from .config import config_network, config_of

__all__ = ["for_pictures", "with_dense_layers"]


def for_pictures(model: Model) -> Model:
    """Return an equivalent model whose images are pictures, not pictures with rows as columns.

    Parameters
    ----------
    model : Model
        Its network is one of simpleNN if its preprocessing exchanges rows and columns.

    Returns
    -------
    model : Model
        Its filters and the rows of its first dense layer are rearranged, so that its outputs are
        those of the argument but for rounding. The argument if its preprocessing does not exchange
        rows and columns.

    Raises
    ------
    ValueError
        If the network is not one of simpleNN.
    """
    how = model.preprocessing
    if how is None or not how.get("transpose"):
        return model
    net, config = model.network, config_of(model.network)
    config = {**config, "wd_input": config["ht_input"], "ht_input": config["wd_input"]}
    shapes = [net.input_shape, *(node.shape for node in net._nodes)]
    # size of the images that the first dense layer reads
    size = next(shapes[k] for k, layer in enumerate(net.layers) if isinstance(layer, Dense))
    parameters: list[Any] = []
    for W, b in net.unpack(model.theta.copy()):
        if W.ndim == 4:
            W = W.transpose(0, 2, 1, 3)
        elif len(parameters) == config["LC"][0]:
            images = W.reshape(*size, -1).transpose(1, 0, 2, 3)
            W = images.reshape(W.shape)
        parameters.append((W, b))
    changed = {key: value for key, value in how.items() if key != "transpose"}
    mean = np.array(how.get("mean", 0.0), np.float64)
    if mean.ndim == 3:
        changed["mean"] = mean.transpose(1, 0, 2).tolist()
    other = config_network(config, net.dtype)
    return replace(model, network=other, theta=other.pack(parameters), preprocessing=changed)


def with_dense_layers(net: Network, theta: np.ndarray) -> tuple[Network, np.ndarray]:
    """Return a chain with dense layers for convolutions of the whole image, without layers like Dropout.

    Parameters
    ----------
    net : Network
    theta : ndarray, (net.n,)

    Returns
    -------
    net : Network
        Computes the same outputs but for rounding, as a vector. The argument if there is no such
        convolution and no layer that acts in training only, or if the network is not a chain.
    theta : ndarray
    """
    chain = all(list(node.record.inputs) == [k] for k, node in enumerate(net._nodes))
    if not chain or any(node.record.owner is not None for node in net._nodes):
        return net, theta
    owned = dict(net.layout.views(theta))
    shapes = [net.input_shape, *(node.shape for node in net._nodes)]
    layers: list[Layer] = []
    parameters: list[Any] = []
    for k, layer in enumerate(net.layers):
        arrays = tuple(owned.get(k, ()))
        if layer.training_only:
            continue
        if isinstance(layer, Conv) and _is_dense(net, k, shapes):
            W = arrays[0]
            arrays = (W.transpose(1, 2, 0, 3).reshape(prod(shapes[k]), -1), *arrays[1:])
            layer = Dense(layer.channels, bias=layer.bias, activation=layer.activation)
        layers.append(replace(layer, inputs=None))
        if arrays:
            parameters.append(arrays)
    if not layers or [type(one) for one in layers] == [type(one) for one in net.layers]:
        return net, theta
    other = Network(net.input_shape, layers, net.dtype)
    return other, other.pack(parameters)


def _is_dense(net: Network, k: int, shapes: list[Any]) -> bool:
    """Return whether convolution ``k`` has one output pixel, which reads the whole image once."""
    _, groups, *sizes = net._nodes[k].record.words
    whole = len(shapes[k]) == 3 and tuple(sizes[:2]) == tuple(shapes[k][:2])
    return whole and groups == 1 and not any(sizes[4:8])
