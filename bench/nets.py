"""The layers and networks that are measured, with parameters and images that all libraries share.

A network is a sequence of `Step`; a layer that is measured alone is a network of one convolution.
Other libraries flatten (d, b, a), matconv (b, a, d): `channels_first` reorders the weights.
"""

import math
from collections import namedtuple
from dataclasses import dataclass, replace

import numpy as np

#: Outputs, f and |gradient| of two libraries agree to this share of their largest element.
AGREEMENT = {"float64": 1e-10, "float32": 1e-3}

#: The rate of the SGD update: so small that theta, which was checked, keeps its values.
RATE = 1e-20


@dataclass(frozen=True)
class Step:
    """A "conv", a maximum "pool" or a "dense" layer, with filters or units `channels`.

    `before` is the shape of the input without the number of images, which `steps` sets.
    """

    kind: str
    channels: int = 0
    kernel: tuple[int, ...] = ()
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    groups: int = 1
    relu: bool = False
    before: tuple[int, ...] = ()

    @property
    def after(self):
        """Shape of the output: (b_out, a_out, d_out) or (units,)."""
        if self.kind == "dense":
            return (self.channels,)
        reach = ((h - 1) * self.dilation + 1 for h in self.kernel)
        size = ((n + 2 * self.pad - h) // self.stride + 1 for n, h in zip(self.before, reach))
        return (*size, self.channels or self.before[2])

    @property
    def weights(self):
        """Shape of W: (d / groups, h_b, h_a, d_out) or (m, units); () without parameters."""
        if self.kind == "dense":
            return (math.prod(self.before), self.channels)
        if self.kind == "conv":
            return (self.before[2] // self.groups, *self.kernel, self.channels)
        return ()

    @property
    def geometry(self):
        """The keyword arguments of ``matconv.conv2d`` that describe the geometry."""
        return {name: getattr(self, name) for name in ("stride", "pad", "dilation", "groups")}


#: Input shape (height, width, channels), layers, usual number of images, loss.
Net = namedtuple("Net", "input_shape layers batch loss", defaults=(128, "softmax"))


def conv(filters, kernel, **options):
    """A convolution with ReLU; `kernel` is an integer or a pair."""
    pair = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    return Step("conv", filters, pair, relu=True, **options)


def pool(window, stride=None):
    """A maximum pooling."""
    return Step("pool", kernel=(window, window), stride=stride or window)


def dense(*units):
    """Dense layers, with ReLU after each but the last."""
    return [*(Step("dense", n, relu=True) for n in units[:-1]), Step("dense", units[-1])]


def _layer(batch, channels, size, filters, kernel, **options):
    layers = (conv(filters, kernel, **options),)
    return Net((size, size, channels), layers, batch, "squared")


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


def _vgg(*filters):
    """Convolutions of 3x3; 0 is a pooling that halves."""
    return [conv(n, 3, pad=1) if n else pool(2) for n in filters]


def _cifar(*layers):
    return Net((32, 32, 3), (*layers, *dense(10)))


#: simplenn-4 and -7 are the networks for CIFAR-10 of C.-J. Lin's simpleNN, counting layers with
#: weights; the smaller one is that of Wang, Tan and Lin, "Newton methods for convolutional neural
#: networks", who count its three convolutions.  vgg11 is VGG's configuration A for small images,
#: with one dense layer.  alexnet has its groups and overlapping pools, but neither local response
#: normalisation nor dropout.
_ALEXNET = (
    *(conv(96, 11, stride=4), pool(3, 2), conv(256, 5, pad=2, groups=2), pool(3, 2)),
    *(conv(384, 3, pad=1), conv(384, 3, pad=1, groups=2), conv(256, 3, pad=1, groups=2)),
    *(pool(3, 2), *dense(4096, 4096, 1000)),
)
NETS = {
    "lenet": Net((28, 28, 1), (conv(20, 5), pool(2), conv(50, 5), pool(2), *dense(500, 10))),
    "simplenn-4": _cifar(conv(32, 5, pad=2), pool(2), *_vgg(64, 0, 64, 0)),
    "simplenn-7": _cifar(conv(32, 5, pad=2), *_vgg(32, 0, 64, 64, 0, 64, 128, 0)),
    "vgg11": _cifar(*_vgg(64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)),
    "alexnet": Net((227, 227, 3), _ALEXNET, batch=16),
}


def network(name):
    """The network or the single layer of this name."""
    return NETS.get(name) or LAYERS[name]


def select(names):
    """The names with those of sets replaced by their members, each once, in their order."""
    return tuple(dict.fromkeys(one for name in names for one in SETS.get(name, (name,))))


def steps(net):
    """The layers of a network with the shapes of their inputs."""
    found, shape = [], net.input_shape
    for layer in net.layers:
        found.append(replace(layer, before=shape))
        shape = found[-1].after
    return found


def sizes(net, images):
    """Text: the number of images of a network; of a layer (l, d, b, f, h) and its options."""
    layer, words = net.layers[0], [images]
    if len(net.layers) == 1:
        words += [net.input_shape[2], net.input_shape[0], layer.channels, layer.kernel[0]]
        named = (("s", layer.stride, 1), ("p", layer.pad, 0), ("g", layer.groups, 1))
        words += [f"{letter}{n}" for letter, n, default in named if n != default]
    return ", ".join(map(str, words))


def parameters(net, seed=0):
    """(W, b) of each layer, or (); float64, in matconv's layout, scaled as He et al. do."""
    rng, found = np.random.default_rng(seed), []
    for step in steps(net):
        found.append(())
        if step.weights:
            scale = math.sqrt(2 / math.prod(step.weights[:-1]))
            W = scale * rng.standard_normal(step.weights)
            found[-1] = W, 0.1 * rng.standard_normal(step.channels)
    return found


def walk(net, values, dtype, first=False):
    """[(step, (W, b) or ())] of a network, W by `channels_first` if `first`."""
    found = []
    for step, arrays in zip(steps(net), values, strict=True):
        if first and arrays:
            arrays = channels_first(step, arrays[0]), arrays[1]
        found.append((step, tuple(x.astype(dtype) for x in arrays)))
    return found


def channels_first(step, W):
    """W (d_out, d / groups, h_b, h_a) or (units, m), C-contiguous, for images (l, d, b, a)."""
    # rows of a dense W count (b, a, d) with d fastest; its columns are to count (d, b, a)
    W = np.moveaxis(W if step.kind == "conv" else W.reshape(*step.before, -1), -1, 0)
    if step.kind == "dense":
        W = np.moveaxis(W, -1, 1).reshape(step.channels, -1)
    return np.ascontiguousarray(W)


def channels_last(z):
    """Outputs (l, d, b, a) as (l, b, a, d); those of a dense layer as they are."""
    z = np.asarray(z)
    return z.transpose(0, 2, 3, 1) if z.ndim == 4 else z


def data(net, images, dtype, seed=1):
    """Z (images, b, a, d) uniform in [0, 1), made in place, and labels; zeros for squared loss."""
    rng = np.random.default_rng(seed)
    Z = rng.random(dtype=np.dtype(dtype), out=np.empty((images, *net.input_shape), dtype))
    outputs = steps(net)[-1].after
    if net.loss == "squared":
        return Z, np.zeros((images, math.prod(outputs)))
    return Z, rng.integers(0, outputs[0], images)


def agree(expected, results, dtype, who):
    """The largest difference, relative to the largest element; ArithmeticError if too large."""
    largest = 0.0
    for key, value in results.items():
        error = np.max(np.abs(np.subtract(value, expected[key], dtype=np.float64)))
        difference = float(error / np.max(np.abs(expected[key])))
        if not difference <= AGREEMENT[dtype]:  # also a NaN
            text = f"{key} differs by {difference:.3g} of its largest element"
            raise ArithmeticError(f"{who}: {text}: not the same function")
        largest = max(largest, difference)
    return largest
