"""A `matconv.Network` for other libraries: its layers in order, their inputs and parameters.

`evaluate` calls a function of each layer's kind, which a peer has for tensors, or for the names of
tensors in a file.  Other libraries flatten (d, b, a), matconv (b, a, d): `walk` can reorder W.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

import matconv

#: The kinds of layers and the activations that all peers have; Dropout is left out.
KINDS = ("Activation", "Add", "AvgPool", "Concat", "Conv", "Dense", "LRN", "MaxPool", "Scale")
ACTIVATIONS = (None, "relu")  # and matconv.Clip


class Window(NamedTuple):
    """Geometry of a convolution or pooling: pairs (height, width), ((top, bottom), (left, right))."""

    kernel: tuple
    stride: tuple
    pad: tuple
    dilation: tuple = (1, 1)
    groups: int = 1

    @property
    def options(self):
        """The keyword arguments of ``matconv.conv2d`` that describe the geometry."""
        return {key: x for key, x in self._asdict().items() if key != "kernel"}

    @property
    def begin(self):
        """(top, left)."""
        return self.pad[0][0], self.pad[1][0]

    @property
    def even(self):
        """Whether bottom is top, and right is left."""
        return all(before == after for before, after in self.pad)


@dataclass(frozen=True)
class Node:
    """A layer, the shape of its first input, and the names that nothing reads after it."""

    name: str
    layer: matconv.layers.Layer
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    window: Window | None
    last: tuple[str, ...] = ()

    @property
    def kind(self):
        return self.layer.kind

    @property
    def activation(self):
        return getattr(self.layer, "activation", None)

    @property
    def whole(self):
        """Whether the window is the whole image."""
        return self.window == Window(self.shape[:2], self.window.stride, ((0, 0), (0, 0)))

    @property
    def places(self):
        """Number of positions of the window."""
        kernel, stride, pad, dilation, _ = self.window
        sides = zip(self.shape[:2], kernel, stride, pad, dilation, strict=True)
        return math.prod((n + sum(p) - (h - 1) * e - 1) // s + 1 for n, h, s, p, e in sides)

    @property
    def factors(self):
        """Of the sum: a float for each input."""
        return self.layer.numbers(len(self.inputs))


def walk(network, theta, first=False):
    """[(Node, views of theta)] of a network without Dropout; W by `channels_first` if `first`.

    ValueError for a layer or activation that peers do not have, and for several outputs.
    """
    if network.outputs is not None:
        raise ValueError("networks with named outputs are not supported")
    views, same, before, found = dict(network.layout.views(theta)), {}, "input", []
    every = zip(network.layers, network.names, network.input_shapes, strict=True)
    for k, (layer, name, shape) in enumerate(every):
        inputs = tuple(same.get(one, one) for one in layer.inputs or (before,))
        before = name
        if layer.kind == "Dropout":
            same[name] = inputs[0]
            continue
        node = _checked(Node(name, layer, inputs, shape, window(layer, shape)))
        arrays = tuple(views.get(k, ()))
        if first and layer.kind in ("Conv", "Dense"):
            arrays = (channels_first(layer.kind, arrays[0], shape), *arrays[1:])
        found.append((node, arrays))
    return _released(found)


def _checked(node):
    clipped = isinstance(node.activation, matconv.Clip)
    if node.kind not in KINDS or not (clipped or node.activation in ACTIVATIONS):
        raise ValueError(f"layer {node.name!r}, {node.layer}, is not supported")
    if node.layer.parameters_of is not None:
        raise ValueError(f"layer {node.name!r}: shared parameters are not supported")
    return node


def _released(found):
    """The nodes with `last`, so that a peer need not keep what nothing reads any more."""
    seen, done = set(), []
    for node, arrays in reversed(found):
        last = tuple(dict.fromkeys(name for name in node.inputs if name not in seen))
        seen.update(last)
        done.append((replace(node, last=last), arrays))
    return done[::-1]


def window(layer, shape):
    """The geometry of a Conv or a pooling of images of a shape; None of another layer."""
    if layer.kind not in ("Conv", "MaxPool", "AvgPool"):
        return None
    words, more = layer.words([shape], layer.kind, "auto"), ()
    if layer.kind == "Conv":
        _, groups, *words = words
        more = tuple(words[8:10]), groups
    kernel, stride, *sides = (tuple(words[k : k + 2]) for k in (0, 2, 4, 6))
    return Window(kernel, stride, tuple(sides), *more)


def channels_first(kind, W, shape):
    """W (d_out, d / groups, h_b, h_a) or (units, m), C-contiguous, for images (l, d, b, a)."""
    # rows of a dense W count (b, a, d) with d fastest; its columns are to count (d, b, a)
    W = np.moveaxis(W if kind == "Conv" else W.reshape(*shape, -1), -1, 0)
    if kind == "Dense":
        W = np.moveaxis(W, -1, 1).reshape(len(W), -1)
    return np.ascontiguousarray(W)


def evaluate(found, functions, activate, images):
    """The value of the last of the nodes.

    Parameters
    ----------
    found : list of (Node, arrays)
        Of `walk`, or with a library's own arrays.
    functions : {kind: function of (node, arrays, *values of the inputs)}
    activate : function of (value, activation)
    images : the value of the input
    """
    values: dict[str, Any] = {"input": images}
    for node, arrays in found:
        value = functions[node.kind](node, arrays, *[values[name] for name in node.inputs])
        for name in node.last:
            del values[name]
        if node.activation is not None:
            value = activate(value, node.activation)
        values[node.name] = value
        del value  # `values` alone keeps it
    return values[found[-1][0].name]
