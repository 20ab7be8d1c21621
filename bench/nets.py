"""The networks that are measured, and their parameters and images, the same for each library.

A network is rows of (kind, options), enough to build it in any library: `steps` adds the shapes, and
each ``peers_*.py`` has a function for each kind.  Other libraries keep images as (l, d, b, a) and
flatten them in this order; the notes flatten with the channel fastest.  So a dense layer that
follows images needs its weights' rows reordered (`channels_first`): then all compute one function.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapes


@dataclass(frozen=True)
class Net:
    """Input shape (height, width, channels), rows, usual number of images, loss."""

    input_shape: tuple
    layers: tuple
    batch: int = 128
    loss: str = "softmax"


def _conv(channels, kernel, relu=True, **options):
    return ("conv", {"channels": channels, "kernel": kernel, "relu": relu, **options})


def _pool(window, **options):
    return ("pool", {"window": window, **options})


def _dense(*units):
    """Dense layers, a ReLU after each but the last."""
    return tuple(("dense", {"units": n, "relu": k < len(units)}) for k, n in enumerate(units, 1))


_HALF = _pool(2)

#: simplenn-4 and -7 are the networks for CIFAR-10 of C.-J. Lin's simpleNN, counting layers with
#: weights; the smaller one is that of Wang, Tan and Lin, "Newton methods for convolutional neural
#: networks", who count its three convolutions.  vgg11 is VGG's configuration A on small images,
#: one dense layer left.  alexnet has its groups and overlapping pools, but neither local response
#: normalisation nor dropout.
NETS = {
    "lenet": Net((28, 28, 1), (_conv(20, 5), _HALF, _conv(50, 5), _HALF, *_dense(500, 10))),
    "simplenn-4": Net(
        (32, 32, 3),
        (
            *(_conv(32, 5, pad=2), _HALF, _conv(64, 3, pad=1), _HALF),
            *(_conv(64, 3, pad=1), _HALF, *_dense(10)),
        ),
    ),
    "simplenn-7": Net(
        (32, 32, 3),
        (
            *(_conv(32, 5, pad=2), _conv(32, 3, pad=1), _HALF),
            *(_conv(64, 3, pad=1), _conv(64, 3, pad=1), _HALF),
            *(_conv(64, 3, pad=1), _conv(128, 3, pad=1), _HALF, *_dense(10)),
        ),
    ),
    "vgg11": Net(
        (32, 32, 3),
        (
            *(_conv(64, 3, pad=1), _HALF, _conv(128, 3, pad=1), _HALF),
            *(_conv(256, 3, pad=1), _conv(256, 3, pad=1), _HALF),
            *(_conv(512, 3, pad=1), _conv(512, 3, pad=1), _HALF),
            *(_conv(512, 3, pad=1), _conv(512, 3, pad=1), _HALF, *_dense(10)),
        ),
    ),
    "alexnet": Net(
        (227, 227, 3),
        (
            *(_conv(96, 11, stride=4), _pool(3, stride=2)),
            *(_conv(256, 5, pad=2, groups=2), _pool(3, stride=2)),
            *(_conv(384, 3, pad=1), _conv(384, 3, pad=1, groups=2)),
            *(_conv(256, 3, pad=1, groups=2), _pool(3, stride=2), *_dense(4096, 4096, 1000)),
        ),
        batch=16,
    ),
}


def network(name):
    """The network of this name; for a layer's name that layer alone, with ReLU and squared loss."""
    return NETS[name] if name in NETS else of_layer(shapes.LAYERS[name])


def of_layer(layer, relu=True):
    """A layer as a network of its own."""
    rows = (_conv(layer.filters, layer.kernel, relu, **layer.options),)
    return Net(layer.image_shape[1:], rows, layer.batch, "squared")


class Step(NamedTuple):
    """A row with its defaults and its shapes: `weights` is that of W, () without parameters.

    Convolution: W (d / groups, h_b, h_a, d_out).  Dense: W (m, units).
    """

    kind: str
    options: dict
    before: tuple
    after: tuple
    weights: tuple


def steps(net):
    """The network's `Step` of each row; sides of images are rounded down."""
    shape, found = net.input_shape, []
    for kind, given in net.layers:
        before = shape
        if kind == "dense":
            options, shape = given, (given["units"],)
            weights = (math.prod(before), shape[0])
        else:
            side = given["kernel" if kind == "conv" else "window"]
            side = side if isinstance(side, tuple) else (side, side)
            usual = {
                "stride": 1 if kind == "conv" else side[0],
                "pad": 0,
                "dilation": 1,
                "groups": 1,
            }
            options = {**usual, "relu": False, **given, "side": side}
            reach = [(h - 1) * options["dilation"] + 1 for h in side]
            sizes = [
                (n + 2 * options["pad"] - h) // options["stride"] + 1
                for n, h in zip(before[:2], reach, strict=True)
            ]
            shape = (*sizes, given["channels"] if kind == "conv" else before[2])
            weights = (before[2] // options["groups"], *side, shape[2]) if kind == "conv" else ()
        found.append(Step(kind, options, before, shape, weights))
    return found


def parameters(net, seed=0):
    """(W, b) of each step, None without parameters; float64, in the notes' layout, He's scale."""
    rng = np.random.default_rng(seed)
    found = []
    for step in steps(net):
        value = None
        if step.weights:
            scale = math.sqrt(2 / math.prod(step.weights[:-1]))
            W = scale * rng.standard_normal(step.weights)
            value = W, 0.1 * rng.standard_normal(step.weights[-1])
        found.append(value)
    return found


def channels_first(step, W):
    """W as libraries with images (l, d, b, a) want it, C-contiguous.

    Convolution: W (d_out, d / groups, h_b, h_a).  Dense: W (units, m), m counted as (d, b, a).
    """
    if step.kind == "conv":
        return np.ascontiguousarray(W.transpose(3, 0, 1, 2))
    # rows of W count (b, a, d) with d fastest; columns are to count (d, b, a)
    n = len(step.before)
    W = W.reshape(*step.before, -1).transpose(n, n - 1, *range(n - 1))
    return np.ascontiguousarray(W.reshape(step.after[0], -1))


def data(net, images, dtype, seed=1):
    """Z (images, b, a, d) uniform in [0, 1), made in place, and labels; zeros for squared loss."""
    rng = np.random.default_rng(seed)
    Z = np.empty((images, *net.input_shape), dtype)
    rng.random(out=Z, dtype=Z.dtype)
    outputs = steps(net)[-1].after
    if net.loss == "squared":
        return Z, np.zeros((images, math.prod(outputs)))
    return Z, rng.integers(0, outputs[0], images)


def flops(net, images):
    """Multiplications and additions of convolutions and dense layers in one forward pass."""
    work = 0
    for step in steps(net):
        if step.weights:
            positions = math.prod(step.after[:2]) if step.kind == "conv" else 1
            work += 2 * positions * math.prod(step.weights)
    return work * images
