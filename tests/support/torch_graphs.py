"""Random graphs in PyTorch, evaluated layer by layer; images as (l, d, height, width)."""

import numpy as np
import torch
import torch.nn.functional as F

from support import graph_reference, torch_layers

# what random graphs have, see `random_graphs.kinds`
KINDS = {
    *("Activation", "Add", "AvgPool", "Concat", "Conv", "ConvTranspose", "Crop", "Dense"),
    *("Dropout", "MaxPool", "Multiply", "Pad", "Scale", "Slice", "Upsample"),
    *("factors", "outputs", "shared", "twice", *torch_layers.LAYERS),
}


def padded(Z, pad, value=0.0):
    (top, bottom), (left, right) = pad
    return F.pad(Z, (left, right, top, bottom), value=value)


def average(Z, layer, pad):
    """The mean of the pixels of each window that count: sums over counts."""
    if layer.window == "image":
        return Z.mean((2, 3), keepdim=True)
    ones = torch.ones_like(Z[:1, :1])
    # PyTorch's own padding has two equal sides, so that the padding is a part of the image
    if layer.count_pad:
        Z, ones, pad = padded(Z, pad), padded(ones, pad, 1.0), ((0, 0), (0, 0))
    total, count = (
        F.avg_pool2d(padded(x, pad), layer.window, layer.stride, 0, layer.ceil, divisor_override=1)
        for x in (Z, ones)
    )
    # a window that begins in the padding at the bottom or right is dropped
    rows, columns = layer_size(layer, Z.shape[2:], pad)
    return (total / count)[:, :, :rows, :columns]


def maximum(Z, layer, pad):
    """The maximum of each window."""
    if layer.window == "image":
        return Z.amax((2, 3), keepdim=True)
    size = layer_size(layer, Z.shape[2:], pad)
    Z = F.max_pool2d(padded(Z, pad, -torch.inf), layer.window, layer.stride, 0, 1, layer.ceil)
    return Z[:, :, : size[0], : size[1]]


def layer_size(layer, size, pad):
    """Windows that begin in the image or before it."""
    return [
        min((n + sum(sides) - h + (s - 1 if layer.ceil else 0)) // s + 1, -(-(n + sides[0]) // s))
        for n, sides, h, s in zip(size, pad, layer.window, layer.stride)
    ]


def multiplied(inputs):
    """The product; vectors are images of one pixel."""
    several = max(x.ndim for x in inputs) == 4
    total = 1
    for x in inputs:
        total = total * (x[:, :, None, None] if several and x.ndim == 2 else x)
    return total


def transposed(layer, Z, W, b):
    """PyTorch's transposed convolution, cropped by hand: its own crop has two equal sides."""
    S = F.conv_transpose2d(
        F.pad(Z, (0, 0, 0, 0)), W.permute(3, 0, 1, 2), b, layer.upsample, 0, layer.extra,
        layer.groups, layer.dilation,
    )  # fmt: skip
    (top, bottom), (left, right) = layer.crop
    return S[:, :, top : S.shape[2] - bottom, left : S.shape[3] - right]


def pool_pad(layer, size):
    if layer.window == "image":
        return None
    return graph_reference.reference.pads(
        graph_reference.sides(layer.pad, size, layer.window, layer.stride)
    )


def layer_output(layer, inputs, W, b):
    """The output of a layer, images as (l, d, height, width), before its activation."""
    Z = inputs[0]
    size = tuple(Z.shape[2:])
    if layer.kind in torch_layers.LAYERS:
        return torch_layers.LAYERS[layer.kind](layer, Z, W)
    match layer.kind:
        case "Conv":
            options = layer.kernel, layer.stride, layer.dilation
            Z = padded(Z, graph_reference.sides(layer.pad, size, *options))
            return F.conv2d(
                Z, W.permute(3, 0, 1, 2), b, layer.stride, 0, layer.dilation, layer.groups
            )
        case "Dense":
            Z = Z.movedim(1, -1).flatten(1) @ W
            return Z if b is None else Z + b
        case "MaxPool":
            pad = pool_pad(layer, size)
            return maximum(Z, layer, pad)
        case "AvgPool":
            pad = pool_pad(layer, size)
            return average(Z, layer, pad)
        case "ConvTranspose":
            return transposed(layer, Z, W, b)
        case "Pad":
            return padded(Z, layer.pad)
        case "Slice":
            return Z[:, layer.start : layer.stop]
        case "Upsample":
            target = tuple(n * f for n, f in zip(size, layer.factor))
            options = {} if layer.method == "nearest" else {"align_corners": layer.align_corners}
            return F.interpolate(Z, target, mode=layer.method, **options)
        case "Add":
            factors = layer.factors or (1.0,) * len(inputs)
            return sum(factor * x for factor, x in zip(factors, inputs))
        case "Multiply":
            return multiplied(inputs)
        case "Concat":
            return torch.cat(inputs, 1)
        case "Scale":
            shape = (-1,) + (1,) * (Z.ndim - 2)
            Z = Z * W.view(shape)
            return Z if b is None else Z + b.view(shape)
        case "Crop":
            shapes = [(*x.shape[2:], x.shape[1]) for x in inputs]
            (top, bottom), (left, right) = graph_reference.borders(layer, *shapes)
            return Z[:, :, top : size[0] - bottom, left : size[1] - right]
        case "Activation" | "Dropout":
            return Z
    raise AssertionError(layer.kind)


def torch_outputs(net, theta, Z):
    """The outputs of every layer, by name, as (l, elements) in matconv's order."""
    graph = graph_reference.Graph(net)
    values = [torch.from_numpy(np.ascontiguousarray(np.moveaxis(Z, -1, 1)))]
    found = {}
    for k, layer in enumerate(net.layers):
        inputs = [values[v] for v in graph.reads[k]]
        S = layer_output(layer, inputs, *graph.arrays(k, theta))
        values.append(torch_layers.activated(S, getattr(layer, "activation", None)))
        found[layer.name] = values[-1].movedim(1, -1).flatten(1)
    return found


def relative(one, other):
    """Norm of the difference over the norm; the difference where that is zero."""
    one, other = np.ravel(one), np.ravel(other)
    return np.linalg.norm(one - other) / (np.linalg.norm(other) or 1.0)
