"""A network as a graph, evaluated layer by layer with numpy and the loops of `reference`.

Nothing of a network but its input shape, its layers and its outputs is used. The functions keep the
dtype of theta, so that integers give exact results. Gradients for a value that is read several
times are added in descending order of the reading layers, and of the inputs in ascending order.
"""

from math import prod

import numpy as np

from matconv import Clip, LeakyReLU
from support import activations, reference


def sides(pad, shape, window, stride, dilation=(1, 1)):
    """Return ((top, bottom), (left, right)) of a layer's pad, which may be "same"."""
    if pad != "same":
        return pad
    found = []
    for n, h, s, dil in zip(shape, window, stride, dilation):
        total = max((-(-n // s) - 1) * s + (h - 1) * dil + 1 - n, 0)
        found.append((total // 2, total - total // 2))
    return tuple(found)


def code(activation):
    """Return (code, alpha, beta) of a layer's activation for the functions of `activations`."""
    if isinstance(activation, LeakyReLU):
        return activations.LEAKY_RELU, activation.slope, np.nan
    if isinstance(activation, Clip):
        return activations.CLIP, activation.lo, activation.hi
    return (activations.RELU if activation == "relu" else activations.NONE), np.nan, np.nan


class Graph:
    """The layers of a network, their inputs, and the places of their parameters in theta."""

    def __init__(self, net):
        self.layers, self.n = net.layers, 0
        self.names = {"input": 0}
        self.reads, self.places, self.shapes = [], [], [net.input_shape]
        for k, layer in enumerate(net.layers):
            inputs = layer.inputs
            self.reads.append([k] if inputs is None else [self.names[name] for name in inputs])
            self.names[layer.name or f"{layer.kind.lower()}{k + 1}"] = k + 1
            shapes = [self.shapes[v] for v in self.reads[k]]
            self.shapes.append(self._shape(layer, shapes))
            self.places.append(self._place(layer, shapes[0]))

    def _shape(self, layer, shapes):
        first = shapes[0]
        kind = layer.kind
        if kind in ("Conv", "MaxPool", "AvgPool"):
            window = layer.kernel if kind == "Conv" else layer.window
            dilation = layer.dilation if kind == "Conv" else (1, 1)
            pad = sides(layer.pad, first, window, layer.stride, dilation)
            size = reference.output_shape(first[:2], window, layer.stride, pad, dilation)
            return (*size, layer.channels if kind == "Conv" else first[2])
        if kind == "Crop":
            (top, bottom), (left, right) = layer.crop
            return first[0] - top - bottom, first[1] - left - right, first[2]
        if kind == "Concat":
            return (*first[:-1], sum(shape[-1] for shape in shapes))
        return (layer.units,) if kind == "Dense" else first

    def _place(self, layer, shape):
        """Return [(start, stop, shape)] of the parameters in theta."""
        owner = getattr(layer, "parameters", None)
        if owner is not None:
            return self.places[self.names[owner] - 1]
        if layer.kind == "Conv":
            d = layer.channels
            shapes = [(shape[2] // layer.groups, *layer.kernel, d), (d,)]
        elif layer.kind == "Dense":
            shapes = [(prod(shape), layer.units), (layer.units,)]
        elif layer.kind == "Scale":
            shapes = [(shape[-1],), (shape[-1],)]
        else:
            return []
        place = []
        for size in shapes[: 1 + layer.bias]:
            place.append((self.n, self.n + prod(size), size))
            self.n += prod(size)
        return place

    def arrays(self, k, theta):
        """Return views of theta, the parameters of layer k; None for a bias it does not have."""
        found = [theta[start:stop].reshape(shape) for start, stop, shape in self.places[k]]
        return found + [None] * (2 - len(found))


def forward(net, theta, Z):
    """Return every value: the images, then each layer's output."""
    graph = Graph(net)
    values = [Z]
    for k, layer in enumerate(net.layers):
        inputs = [values[v] for v in graph.reads[k]]
        S = _forward(layer, inputs, *graph.arrays(k, theta))
        values.append(activations.activated(S, *code(getattr(layer, "activation", None))))
    return values


def gradient(net, theta, Z, dz, output):
    """Return the gradient of sum(dz * z) for theta, z the output of a layer given by name."""
    graph = Graph(net)
    values = forward(net, theta, Z)
    d_values = [None] * len(values)
    d_values[graph.names[output]] = dz.reshape(values[graph.names[output]].shape)
    dtheta = np.zeros(graph.n, theta.dtype)
    for k in range(len(net.layers) - 1, -1, -1):
        if d_values[k + 1] is None:
            continue
        layer = net.layers[k]
        sigma = code(getattr(layer, "activation", None))
        dS = activations.gradient(d_values[k + 1], values[k + 1], *sigma)
        inputs = [values[v] for v in graph.reads[k]]
        d_inputs, d_arrays = _backward(layer, dS, inputs, *graph.arrays(k, theta))
        for v, d_input in zip(graph.reads[k], d_inputs):
            d_values[v] = d_input if d_values[v] is None else d_values[v] + d_input
        for place, d_array in zip(graph.places[k], d_arrays):
            dtheta[place[0] : place[1]] += d_array.ravel()
    return dtheta


def _conv_options(layer, shape):
    pad = sides(layer.pad, shape[1:], layer.kernel, layer.stride, layer.dilation)
    return layer.stride, pad, layer.dilation, layer.groups


def _pool_options(layer, shape):
    return layer.window, layer.stride, sides(layer.pad, shape[1:], layer.window, layer.stride)


def _crop(layer, shape):
    (top, bottom), (left, right) = layer.crop
    return slice(None), slice(top, shape[1] - bottom), slice(left, shape[2] - right)


def _factors(layer, inputs):
    factors = (1.0,) * len(inputs) if layer.factors is None else layer.factors
    return [inputs[0].dtype.type(factor) for factor in factors]


def _product(arrays):
    total = arrays[0]
    for array in arrays[1:]:
        total = total * array
    return total


def _forward(layer, inputs, W, b):
    Z = inputs[0]
    match layer.kind:
        case "Conv":
            return reference.conv2d(Z, W, b, *_conv_options(layer, Z.shape))
        case "Dense":
            return reference.dense(Z, W, b)
        case "MaxPool":
            return reference.max_pool2d(Z, *_pool_options(layer, Z.shape))[0]
        case "AvgPool":
            return reference.avg_pool2d(Z, *_pool_options(layer, Z.shape))
        case "Add":
            terms = [f * x for f, x in zip(_factors(layer, inputs), inputs)]
            return sum(terms[1:], terms[0])
        case "Multiply":
            return _product(inputs)
        case "Concat":
            return np.concatenate(inputs, axis=-1)
        case "Scale":
            return W * Z if b is None else W * Z + b
        case "Crop":
            return Z[_crop(layer, Z.shape)]
        case "Activation" | "Dropout":
            return Z
    raise AssertionError(layer.kind)


def _backward(layer, dS, inputs, W, b):
    """Return (gradients for the inputs, gradients for the parameters)."""
    Z = inputs[0]
    match layer.kind:
        case "Conv":
            dZ, *d_arrays = reference.conv2d_backward(dS, Z, W, *_conv_options(layer, Z.shape))
            return [dZ], d_arrays
        case "Dense":
            dZ, *d_arrays = reference.dense_backward(dS, Z, W)
            return [dZ], d_arrays
        case "MaxPool":
            _, indices = reference.max_pool2d(Z, *_pool_options(layer, Z.shape))
            return [reference.max_pool2d_backward(dS, indices, Z.shape)], []
        case "AvgPool":
            options = _pool_options(layer, Z.shape)
            return [reference.avg_pool2d_backward(dS, Z.shape, *options)], []
        case "Add":
            return [factor * dS for factor in _factors(layer, inputs)], []
        case "Multiply":
            others = [inputs[:i] + inputs[i + 1 :] for i in range(len(inputs))]
            return [_product([dS, *rest]) for rest in others], []
        case "Concat":
            ends = np.cumsum([x.shape[-1] for x in inputs])[:-1]
            return np.split(dS, ends, axis=-1), []
        case "Scale":
            axes = tuple(range(dS.ndim - 1))
            return [W * dS], [(dS * Z).sum(axes, dS.dtype), dS.sum(axes, dtype=dS.dtype)]
        case "Crop":
            dZ = np.zeros_like(Z)
            dZ[_crop(layer, Z.shape)] = dS
            return [dZ], []
        case "Activation" | "Dropout":
            return [dS], []
    raise AssertionError(layer.kind)


def pieces(net, theta, Z):
    """Return on which piece of its activation each element is, and the pixels of each MaxPool.

    Between two thetas with equal pieces the network is smooth.
    """
    graph = Graph(net)
    values = forward(net, theta, Z)
    found = []
    for k, layer in enumerate(net.layers):
        which, lo, hi = code(getattr(layer, "activation", None))
        z = values[k + 1]
        if which == activations.CLIP:
            found += [z <= lo, z >= hi]
        elif which != activations.NONE:
            found.append(z <= 0)
        if layer.kind == "MaxPool":
            x = values[graph.reads[k][0]]
            found.append(reference.max_pool2d(x, *_pool_options(layer, x.shape))[1])
    return b"".join(array.tobytes() for array in found)
