"""The layers and networks that are measured, with parameters and images that all libraries share.

A network is a `matconv.Network`; a layer that is measured alone is a network of one convolution.
"""

import math
from typing import NamedTuple

import numpy as np

import matconv
from matconv import Conv, Dense, MaxPool, presets

#: Outputs, f and |gradient| of two libraries agree to this share of their largest element.
AGREEMENT = {"float64": 1e-10, "float32": 1e-3}

#: Products with derivatives at images far from `kinks`: four times the largest difference measured
#: in float32, 2.5e-6, and fifty times that in float64, 1.9e-14.
PRODUCTS = {"float64": 1e-12, "float32": 1e-5}

#: The rate of the SGD update: so small that theta, which was checked, keeps its values.
RATE = 1e-20


class Net(NamedTuple):
    """A network in float64, and the usual number of images."""

    network: matconv.Network
    batch: int = 128

    @property
    def loss(self):
        """Squared for images: the mean of |z|^2; else softmax."""
        return "squared" if math.prod(self.network.output_shape[:-1]) > 1 else "softmax"


def conv(channels, kernel, **options):
    """A convolution with ReLU."""
    return Conv(channels, kernel, activation="relu", **options)


def dense(*units):
    """Dense layers, with ReLU after each but the last."""
    return [*(Dense(n, activation="relu") for n in units[:-1]), Dense(units[-1])]


def _layer(batch, channels, size, filters, kernel, **options):
    return Net(matconv.Network((size, size, channels), [conv(filters, kernel, **options)]), batch)


#: Single convolutions of published networks; batches are chosen so that a pass takes from some
#: milliseconds to some tens of milliseconds on one core.
LAYERS = {
    "vgg-64": _layer(8, 64, 56, 64, 3, pad=1),
    "vgg-128": _layer(8, 128, 28, 128, 3, pad=1),
    "vgg-256": _layer(16, 256, 14, 256, 3, pad=1),
    "vgg-512": _layer(16, 512, 7, 512, 3, pad=1),
    "cifar-32": _layer(64, 32, 32, 32, 3, pad=1),
    "cifar-64": _layer(64, 64, 16, 64, 3, pad=1),
    "lenet-1": _layer(128, 1, 28, 20, 5),
    "lenet-2": _layer(128, 20, 12, 50, 5),
    "alexnet-1": _layer(16, 3, 227, 96, 11, stride=4),
    "alexnet-2": _layer(16, 96, 27, 256, 5, pad=2, groups=2),
    "alexnet-3": _layer(16, 256, 13, 384, 3, pad=1),
    "alexnet-4": _layer(16, 384, 13, 384, 3, pad=1, groups=2),
    "alexnet-5": _layer(16, 384, 13, 256, 3, pad=1, groups=2),
    "resnet-stem": _layer(8, 3, 224, 64, 7, stride=2, pad=3),
    "resnet-1x1-wide": _layer(8, 64, 56, 256, 1),
    "resnet-1x1-narrow": _layer(8, 256, 56, 64, 1),
    "resnet-1x1-s2": _layer(8, 256, 56, 512, 1, stride=2),
    "resnet-3x3-s2": _layer(8, 128, 56, 128, 3, stride=2, pad=1),
}

#: Names of several layers.
SETS = {
    "core": ("vgg-64", "vgg-128", "vgg-256", "vgg-512", "cifar-32"),
    "quick": ("vgg-512", "cifar-32", "lenet-2", "resnet-1x1-s2"),
    "all": tuple(LAYERS),
}


def _preset(preset):
    """A preset with images of its usual shape; fewer of large ones."""
    shape = preset.input_shape
    network = preset.function(*preset.arguments, input_shape=shape)
    return Net(network, 128 if shape[0] <= 64 else 16)


def _vgg11():
    """VGG's configuration A for small images, with one dense layer."""
    filters = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)
    layers = [conv(n, 3, pad=1) if n else MaxPool(2) for n in filters]
    return Net(matconv.Network((32, 32, 3), [*layers, Dense(10)]))


def _alexnet():
    """AlexNet with its groups and overlapping pools, without LRN and dropout."""
    layers = (
        *(conv(96, 11, stride=4), MaxPool(3, 2), conv(256, 5, pad=2, groups=2), MaxPool(3, 2)),
        *(conv(384, 3, pad=1), conv(384, 3, pad=1, groups=2), conv(256, 3, pad=1, groups=2)),
        *(MaxPool(3, 2), *dense(4096, 4096, 1000)),
    )
    return Net(matconv.Network((227, 227, 3), layers), 16)


#: All of `matconv.presets.PRESETS`, of which vgg11 is replaced, and others.
NETS = {name: _preset(preset) for name, preset in presets.PRESETS.items()} | {
    "vgg11": _vgg11(),
    "alexnet": _alexnet(),
    "resnet18-64": Net(presets.resnet(18, input_shape=(64, 64, 3)), 16),
    "dncnn17-180": Net(presets.dncnn(17, input_shape=(180, 180, 1)), 1),
}


def named(name):
    """The network or the single layer of this name."""
    return NETS.get(name) or LAYERS[name]


def select(names):
    """The names with those of sets replaced by their members, each once, in their order."""
    return tuple(dict.fromkeys(one for name in names for one in SETS.get(name, (name,))))


def sizes(net, images):
    """Text: the number of images of a network; of a layer (l, d, b, f, h) and its options."""
    layers, shape, words = net.network.layers, net.network.input_shape, [images]
    if len(layers) == 1:
        given = layers[0].arguments()
        words += [shape[2], shape[0], given["channels"], layers[0].kernel[0]]
        options = (("s", "stride", 1), ("p", "pad", 0), ("g", "groups", 1))
        words += [f"{letter}{given[x]}" for letter, x, default in options if given[x] != default]
    return ", ".join(map(str, words))


def parameters(network, seed=0):
    """theta in float64, W scaled as He et al. do, whatever the network's ``init`` is.

    So each layer matters in a comparison; biases are not 0, nor gains 1.
    """
    rng, theta = np.random.default_rng(seed), np.empty(network.n)
    for views in network.unpack(theta):
        for name, view in views._asdict().items():
            rng.standard_normal(out=view)
            view *= math.sqrt(2 / math.prod(view.shape[:-1])) if name == "W" else 0.1
            view += name == "gain"
    return theta


def direction(n, seed=2):
    """A vector of normal elements, float64 that float32 represents exactly."""
    return np.random.default_rng(seed).standard_normal(n, np.float32).astype(np.float64)


def channels_last(z):
    """Outputs (l, d, b, a) as (l, b, a, d); those of a dense layer as they are."""
    z = np.asarray(z)
    return z.transpose(0, 2, 3, 1) if z.ndim == 4 else z


def data(net, images, dtype, seed=1):
    """Z (images, b, a, d) uniform in [0, 1), made in place, and labels; zeros for squared loss."""
    rng, network = np.random.default_rng(seed), net.network
    Z = rng.random(dtype=np.dtype(dtype), out=np.empty((images, *network.input_shape), dtype))
    if net.loss == "squared":
        return Z, np.zeros((images, network.n_outputs))
    return Z, rng.integers(0, network.n_outputs, images)


def agree(expected, results, dtype, who, agreement=AGREEMENT):
    """The largest difference, relative to the largest element; ArithmeticError if too large."""
    largest = 0.0
    for key, value in results.items():
        error = np.max(np.abs(np.subtract(value, expected[key], dtype=np.float64)))
        difference = float(error / np.max(np.abs(expected[key])))
        if not difference <= agreement[dtype]:  # also a NaN
            text = f"{key} differs by {difference:.3g} of its largest element"
            raise ArithmeticError(f"{who}: {text}: not the same function")
        largest = max(largest, difference)
    return largest
