"""How far images are from the kinks of a network, where its derivative changes.

A kink is an input of a ReLU that is 0, an input of a Clip that is one of its bounds, or a window of
a MaxPool with two maxima. An image whose distance from all of them is more than the rounding error
has the same derivative in float32 as in float64, within rounding.
"""

import dataclasses

import graphs
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import matconv

#: Images at a time, which bounds the memory.
PIECE = 32


def distances(network, theta, Z):
    """The smallest distance of each image from a kink, relative to the root mean square there.

    A network without kinks has the distance infinity.
    """
    layers, read, before = [], [], "input"
    for layer, name, shape in zip(network.layers, network.names, network.input_shapes, strict=True):
        (source, *_), activation = layer.inputs or (before,), getattr(layer, "activation", None)
        if layer.kind == "MaxPool":
            read.append((source, _of_windows, graphs.window(layer, shape)))
        elif layer.kind == "Activation":
            read.append((source, _of_sums, activation))
        elif activation is not None:
            linear = f"{name} without activation"
            layers.append(dataclasses.replace(layer, activation=None, name=linear))
            read.append((linear, _of_sums, activation))
            layer = matconv.Activation(activation)
        layers.append(dataclasses.replace(layer, name=name))
        before = name
    read = [one for one in read if one[0] != "input"]  # images have no rounding
    outputs = [*dict.fromkeys(one[0] for one in read), before]
    probe = matconv.Network(network.input_shape, layers, outputs=outputs, algorithm="im2col")
    found = np.full(len(Z), np.inf)
    for k in range(0, len(Z), PIECE) if read else ():
        values = dict(zip(outputs, probe.forward(theta, Z[k : k + PIECE]), strict=True))
        for name, function, about in read:
            value, part = values[name], found[k : k + PIECE]
            axes = tuple(range(1, value.ndim))
            scale = np.sqrt(np.mean(value**2, axis=axes)) + np.finfo(float).tiny
            np.minimum(part, function(value, about).min(axis=axes) / scale, out=part)
    return found


def _of_sums(S, activation):
    """The distance of each element from a kink of its activation."""
    if activation == "relu":
        return np.abs(S)
    return np.minimum(np.abs(S - activation.lo), np.abs(S - activation.hi))


def _of_windows(Z, window):
    """The distance of the two largest elements of each window; infinity if they are equal.

    Equal ones were clipped by an activation, so that their derivative is 0.
    """
    pad = ((0, 0), *window.pad, (0, 0))
    windows = sliding_window_view(np.pad(Z, pad, constant_values=-np.inf), window.kernel, (1, 2))
    windows = windows[:, :: window.stride[0], :: window.stride[1]]
    windows = windows.reshape(*windows.shape[:4], -1)
    gap = np.diff(np.partition(windows, (-2, -1))[..., -2:])[..., 0]
    return np.where(gap > 0, gap, np.inf)
