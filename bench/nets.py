"""The networks of `shapes.NETS` built in matconv and in PyTorch, with the same parameters.

PyTorch keeps images as (l, d, b, a) and flattens them in this order; the notes flatten with the
channel fastest.  So a dense layer that follows images needs its weights' rows reordered, and then
both networks are the same function.
"""

import math

import numpy as np


def shapes_of(net):
    """[(kind, options, input shape, output shape)] of each layer; sides floor as in the kernels."""
    shape, found = net["input_shape"], []
    for kind, options in net["layers"]:
        before = shape
        if kind == "conv":
            b, a = (n - options["kernel"] + 1 for n in shape[:2])
            shape = (b, a, options["channels"])
        elif kind == "pool":
            b, a = (n // options["window"] for n in shape[:2])
            shape = (b, a, shape[2])
        else:
            shape = (options["units"],)
        found.append((kind, options, before, shape))
    return found


def parameters(net, seed=0):
    """[(W, b)] of the layers that have them, float64, in the notes' layout; He's scale.

    Convolution: W (d, h, h, d_out).  Dense: W (m, units).
    """
    rng = np.random.default_rng(seed)
    found = []
    for kind, options, before, after in shapes_of(net):
        if kind == "pool":
            continue
        if kind == "conv":
            shape = (before[2], options["kernel"], options["kernel"], after[2])
        else:
            shape = (math.prod(before), after[0])
        scale = math.sqrt(2 / math.prod(shape[:-1]))
        found.append((scale * rng.standard_normal(shape), 0.1 * rng.standard_normal(shape[-1])))
    return found


def data(net, images, dtype, seed=1):
    """Z (images, b, a, d) uniform in [0, 1) and labels; made in place, so without temporaries."""
    rng = np.random.default_rng(seed)
    Z = np.empty((images, *net["input_shape"]), dtype)
    rng.random(out=Z, dtype=Z.dtype)
    return Z, rng.integers(0, net["layers"][-1][1]["units"], images)


def for_matconv(net, dtype):
    """`matconv.Network` of a description of `shapes.NETS`."""
    import matconv

    layers = []
    for k, (kind, options) in enumerate(net["layers"], start=1):
        if kind == "conv":
            layers.append(matconv.Conv(options["channels"], options["kernel"]))
        elif kind == "pool":
            layers.append(matconv.MaxPool(options["window"]))
        else:
            last = k == len(net["layers"])
            layers.append(matconv.Dense(options["units"], activation=None if last else "relu"))
    return matconv.Network(net["input_shape"], layers, dtype=dtype)


def for_torch(net, values, dtype):
    """`torch.nn.Sequential` of the same network with the parameters `values`."""
    import torch

    values, modules, image = iter(values), [], True
    found = shapes_of(net)
    for k, (kind, options, before, after) in enumerate(found, start=1):
        if kind == "pool":
            modules.append(torch.nn.MaxPool2d(options["window"]))
            continue
        W, b = next(values)
        if kind == "conv":
            module = torch.nn.Conv2d(before[2], after[2], options["kernel"])
            weight = W.transpose(3, 0, 1, 2)
        else:
            if image:
                modules.append(torch.nn.Flatten())
            image = False
            module = torch.nn.Linear(math.prod(before), after[0])
            # Rows of W count (b, a, d) with d fastest; torch's columns count (d, b, a).
            axes = (len(before), len(before) - 1, *range(len(before) - 1))
            weight = W.reshape(*before, after[0]).transpose(axes).reshape(after[0], -1)
        with torch.no_grad():
            module.to(torch.from_numpy(np.empty(0, dtype)).dtype)
            module.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            module.bias.copy_(torch.from_numpy(b))
        modules.append(module)
        if k < len(found):
            modules.append(torch.nn.ReLU())
    return torch.nn.Sequential(*modules)
