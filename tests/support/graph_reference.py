"""A network as a graph, evaluated layer by layer with numpy and the loops of `reference`.

Nothing of a network but its input shape, its layers and its outputs is used. The functions keep the
dtype of theta, so that integers give exact results. Gradients for a value that is read several
times are added in descending order of the reading layers, and of the inputs in ascending order.
"""

from math import prod

import numpy as np

from support import activations, normalizing, reference
from support.activations import code


def sides(pad, shape, window, stride, dilation=(1, 1)):
    """Return ((top, bottom), (left, right)) of a layer's pad, which may be "same"."""
    if pad != "same":
        return pad
    found = []
    for n, h, s, dil in zip(shape, window, stride, dilation):
        total = max((-(-n // s) - 1) * s + (h - 1) * dil + 1 - n, 0)
        found.append((total // 2, total - total // 2))
    return tuple(found)


class Graph:
    """The layers of a network, their inputs, and the places of their parameters in theta."""

    def __init__(self, net):
        self.layers, self.n = net.layers, 0
        self.names = {"input": 0}
        self.reads, self.places, self.shapes = [], [], [net.input_shape]
        for k, layer in enumerate(net.layers):
            inputs = layer.inputs
            reads = [k] if inputs is None else [self.names[name] for name in inputs]
            if layer.shape_of is not None:
                reads.append(self.names[layer.shape_of])
            self.reads.append(reads)
            self.names[layer.name or f"{layer.kind.lower()}{k + 1}"] = k + 1
            shapes = [self.shapes[v] for v in self.reads[k]]
            self.shapes.append(self._shape(layer, shapes))
            self.places.append(self._place(layer, shapes[0]))

    def _shape(self, layer, shapes):
        first = shapes[0]
        kind = layer.kind
        if kind == "Conv":
            pad = sides(layer.pad, first, layer.kernel, layer.stride, layer.dilation)
            options = layer.kernel, layer.stride, pad, layer.dilation
            return (*reference.output_shape(first[:2], *options), layer.channels)
        if kind in ("MaxPool", "AvgPool"):
            options = _pool_options(layer, (1, *first))
            return (*reference.output_shape(first[:2], *options), first[2])
        if kind == "ConvTranspose":
            return (*_transposed_size(layer, first), layer.channels)
        if kind == "Crop":
            (top, bottom), (left, right) = borders(layer, *shapes)
            return first[0] - top - bottom, first[1] - left - right, first[2]
        if kind == "Pad":
            (top, bottom), (left, right) = layer.pad
            return first[0] + top + bottom, first[1] + left + right, first[2]
        if kind == "Slice":
            return (*first[:-1], layer.stop - layer.start)
        if kind == "Upsample":
            return first[0] * layer.factor[0], first[1] * layer.factor[1], first[2]
        if kind == "Multiply":
            return max(shapes, key=lambda shape: (prod(shape), len(shape)))
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
        elif layer.kind == "ConvTranspose":
            d = layer.channels
            shapes = [(d // layer.groups, *layer.kernel, shape[2]), (d,)]
        elif layer.kind == "Dense":
            shapes = [(prod(shape), layer.units), (layer.units,)]
        elif layer.kind == "Scale":
            shapes = [(shape[-1],), (shape[-1],)]
        elif layer.kind == "PReLU":
            shapes = [(shape[-1],)]
        else:
            return []
        place = []
        for size in shapes[: 1 + getattr(layer, "bias", 0)]:
            place.append((self.n, self.n + prod(size), size))
            self.n += prod(size)
        return place

    def arrays(self, k, theta):
        """Return views of theta, the parameters of layer k; None for a bias it does not have."""
        found = [theta[start:stop].reshape(shape) for start, stop, shape in self.places[k]]
        return found + [None] * (2 - len(found))


def forward(net, theta, Z):
    """Return every value: the images, then each layer's output."""
    return _values(net, theta, Z)[0]


def _values(net, theta, Z):
    """Return every value, and for each layer the input of its activation."""
    graph = Graph(net)
    values, before = [Z], []
    for k, layer in enumerate(net.layers):
        inputs = [values[v] for v in graph.reads[k]]
        before.append(_forward(layer, inputs, *graph.arrays(k, theta)))
        sigma = code(getattr(layer, "activation", None))
        values.append(activations.activated(before[-1], *sigma))
    return values, before


def gradient(net, theta, Z, dz, output):
    """Return the gradient of sum(dz * z) for theta, z the output of a layer given by name."""
    graph = Graph(net)
    values, before = _values(net, theta, Z)
    d_values = [None] * len(values)
    d_values[graph.names[output]] = dz.reshape(values[graph.names[output]].shape)
    dtheta = np.zeros(graph.n, theta.dtype)
    for k in range(len(net.layers) - 1, -1, -1):
        if d_values[k + 1] is None:
            continue
        layer = net.layers[k]
        sigma = code(getattr(layer, "activation", None))
        dS = activations.gradient(d_values[k + 1], values[k + 1], *sigma, before[k])
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
    if layer.window == "image":
        return shape[1:3], 1, 0
    pad = sides(layer.pad, shape[1:], layer.window, layer.stride)
    if layer.ceil:
        pad = reference.ceil_pad(shape[1:3], layer.window, layer.stride, pad)
    return layer.window, layer.stride, pad


def _counted(layer, shape):
    """The padding that counts in a mean, or None."""
    if not layer.count_pad:
        return None
    if layer.window == "image":
        return (0, 0), (0, 0)
    return reference.pads(sides(layer.pad, shape[1:], layer.window, layer.stride))


def _transposed_size(layer, shape):
    return tuple(
        s * (n - 1) + (h - 1) * e + 1 - sum(crop) + extra
        for n, h, s, e, crop, extra in zip(
            shape, layer.kernel, layer.upsample, layer.dilation, layer.crop, layer.extra
        )
    )


def _transposed_options(layer):
    return layer.upsample, layer.crop, layer.dilation, layer.groups


def borders(layer, shape, like=None):
    """((top, bottom), (left, right)) of what a Crop removes from images (height, width, d)."""
    if like is None:
        return layer.crop
    more = [n - m for n, m in zip(shape[:2], like[:2])]
    before = [n // 2 for n in more] if layer.crop is None else layer.crop
    return tuple((k, n - k) for k, n in zip(before, more))


def _crop(layer, inputs):
    (top, bottom), (left, right) = borders(layer, *(Z.shape[1:] for Z in inputs))
    _, height, width, _ = inputs[0].shape
    return slice(None), slice(top, height - bottom), slice(left, width - right)


def _padded(layer, shape):
    """Where the image is in the padded one."""
    (top, _), (left, _) = layer.pad
    return slice(None), slice(top, top + shape[1]), slice(left, left + shape[2])


def _pixels(inputs):
    """The inputs of a Multiply as arrays that NumPy broadcasts."""
    if max(Z.ndim for Z in inputs) < 4:
        return inputs
    return [Z if Z.ndim == 4 else Z[:, None, None] for Z in inputs]


def _upsampling(layer):
    return layer.factor, layer.method, layer.align_corners


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
    if layer.kind in normalizing.FORWARD:
        return normalizing.FORWARD[layer.kind](layer, Z, W)
    match layer.kind:
        case "Conv":
            return reference.conv2d(Z, W, b, *_conv_options(layer, Z.shape))
        case "Dense":
            return reference.dense(Z, W, b)
        case "MaxPool":
            return reference.max_pool2d(Z, *_pool_options(layer, Z.shape))[0]
        case "AvgPool":
            options = _pool_options(layer, Z.shape)
            return reference.avg_pool2d(Z, *options, _counted(layer, Z.shape))
        case "Add":
            terms = [f * x for f, x in zip(_factors(layer, inputs), inputs)]
            return sum(terms[1:], terms[0])
        case "Multiply":
            return _product(_pixels(inputs))
        case "Concat":
            return np.concatenate(inputs, axis=-1)
        case "Scale":
            return W * Z if b is None else W * Z + b
        case "ConvTranspose":
            size = _transposed_size(layer, Z.shape[1:])
            return reference.conv_transpose2d(Z, W, b, size, *_transposed_options(layer))
        case "Crop":
            return Z[_crop(layer, inputs)]
        case "Pad":
            return np.pad(Z, ((0, 0), *layer.pad, (0, 0)))
        case "Slice":
            return Z[..., layer.start : layer.stop]
        case "Upsample":
            return reference.upsample2d(Z, *_upsampling(layer))
        case "Activation" | "Dropout":
            return Z
    raise AssertionError(layer.kind)


def _backward(layer, dS, inputs, W, b):
    """Return (gradients for the inputs, gradients for the parameters)."""
    Z = inputs[0]
    if layer.kind in normalizing.BACKWARD:
        dZ, d_arrays = normalizing.BACKWARD[layer.kind](layer, dS, Z, W)
        return [dZ], d_arrays
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
            counted = _counted(layer, Z.shape)
            return [reference.avg_pool2d_backward(dS, Z.shape, *options, counted)], []
        case "Add":
            return [factor * dS for factor in _factors(layer, inputs)], []
        case "Multiply":
            pixels = _pixels(inputs)
            found = []
            for i, one in enumerate(pixels):
                gradient = _product([dS, *pixels[:i], *pixels[i + 1 :]])
                if one.shape != dS.shape:
                    gradient = gradient.sum((1, 2), gradient.dtype)
                found.append(gradient.reshape(inputs[i].shape))
            return found, []
        case "Concat":
            ends = np.cumsum([x.shape[-1] for x in inputs])[:-1]
            return np.split(dS, ends, axis=-1), []
        case "Scale":
            axes = tuple(range(dS.ndim - 1))
            return [W * dS], [(dS * Z).sum(axes, dS.dtype), dS.sum(axes, dtype=dS.dtype)]
        case "Crop":
            dZ = np.zeros_like(Z)
            dZ[_crop(layer, inputs)] = dS
            return [dZ, *map(np.zeros_like, inputs[1:])], []
        case "ConvTranspose":
            options = _transposed_options(layer)
            dZ, *d_arrays = reference.conv_transpose2d_backward(dS, Z, W, *options)
            return [dZ], d_arrays
        case "Pad":
            return [dS[_padded(layer, Z.shape)]], []
        case "Slice":
            dZ = np.zeros_like(Z)
            dZ[..., layer.start : layer.stop] = dS
            return [dZ], []
        case "Upsample":
            return [reference.upsample2d_backward(dS, Z.shape, *_upsampling(layer))], []
        case "Activation" | "Dropout":
            return [dS], []
    raise AssertionError(layer.kind)


def pieces(net, theta, Z):
    """Return on which piece of its activation each element is, and the pixels of each MaxPool.

    Between two thetas with equal pieces the network is smooth.
    """
    graph = Graph(net)
    values, before = _values(net, theta, Z)
    found = []
    for k, layer in enumerate(net.layers):
        sigma = code(getattr(layer, "activation", None))
        found += activations.kinks(before[k], values[k + 1], *sigma)
        if layer.kind in ("PReLU", "Normalize"):
            found.append(values[graph.reads[k][0]] <= 0)
        if layer.kind == "MaxPool":
            x = values[graph.reads[k][0]]
            found.append(reference.max_pool2d(x, *_pool_options(layer, x.shape))[1])
    return b"".join(array.tobytes() for array in found)
