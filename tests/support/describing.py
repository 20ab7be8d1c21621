"""Descriptions of chains of layers, with theta, that compiled code opens."""

import numpy as np

from matconv.encoding import CLIP, LEAKY, NO_ACTIVATION, RELU, Record, encode
from matconv.kernels._algorithms import as_algorithm
from matconv.kernels.predictor import Predictor
from support.graph_reference import sides
from support.reference import output_shape, pair

ACTIVATIONS = {None: (NO_ACTIVATION, 0.0, 0.0), "relu": (RELU, 0.0, 0.0)}


def leaky(a):
    return (LEAKY, a, 0.0)


def clip(a, b):
    return (CLIP, a, b)


def layer_record(layer, shape, value, algorithm):
    """Return the record of a layer that reads a value, and the shape of its output."""
    activation = ACTIVATIONS[getattr(layer, "activation", None)]
    if layer.kind == "Dense":
        return Record("Dense", [value], [layer.units, 1], activation=activation), (layer.units,)
    convolution = layer.kind == "Conv"
    window = layer.kernel if convolution else layer.window
    dilation = layer.dilation if convolution else (1, 1)
    pad = sides(layer.pad, shape, window, layer.stride, dilation)
    out = output_shape(shape[:2], window, layer.stride, pad, dilation)
    sizes = [*window, *layer.stride, *pad[0], *pad[1]]
    if not convolution:
        # the mean of AvgPool is over the pixels of the image
        counted = [-1, -1] if layer.kind == "AvgPool" else []
        return Record(layer.kind, [value], [*sizes, *counted]), (*out, shape[2])
    code = as_algorithm("Conv", layer.algorithm or algorithm)
    words = [layer.channels, layer.groups, *sizes, *dilation, 1, code]
    return Record("Conv", [value], words, activation=activation), (*out, layer.channels)


def records(net):
    """Return the records of a network's layers."""
    found, shape = [], net.input_shape
    for k, layer in enumerate(net.layers):
        record, shape = layer_record(layer, shape, k, net.algorithm)
        found.append(record)
    return found


def encoded(net, theta, images=1):
    """Return the bytes of a network with parameters."""
    theta = np.asarray(theta, net.dtype)
    assert theta.shape == (net.n,)
    steps = records(net)
    return encode(net.input_shape, steps, [len(steps)], net.n, net.dtype, images, theta)


def freeze(net, theta, images=1):
    return Predictor(encoded(net, theta, images))


def graph(shape, steps, outputs, arrays, dtype="float64", images=1):
    """Return the bytes of a graph of records with parameters, in order."""
    theta = np.concatenate([np.zeros(0), *(np.ravel(array) for array in arrays)]).astype(dtype)
    return encode(shape, steps, outputs, theta.size, np.dtype(dtype), images, theta)


def conv(value, filters, kernel, *, pad=(0, 0, 0, 0), groups=1, bias=1, algorithm=0, **options):
    """Return the record of a convolution with stride 1."""
    words = [filters, groups, *pair(kernel), 1, 1, *pad, 1, 1, bias, algorithm]
    return Record("Conv", [value], words, **options)
