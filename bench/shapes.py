"""The convolution layers and the networks that are measured.

A set is a tuple of names of layers; a layer of two sets is measured once.  Sizes are those of the
published networks.  Batches are chosen so that a pass takes milliseconds to tens of milliseconds on
one core.

    l images, d channels of (b, a) pixels -> f filters of h_b x h_a x (d / groups)
"""

from dataclasses import dataclass

#: Floating-point work of a pass in units of one forward pass: the backward pass is two products
#: of the same size, one for the gradient of the images and one for that of the filters.
PASSES = {"forward": 1, "backward": 2, "both": 3}


@dataclass(frozen=True)
class Layer:
    """The sizes of a convolution.

    Parameters
    ----------
    name : str
        In tables and of ``--layers``.
    batch, channels, filters : int
        Images l, input channels d, output channels.
    size, kernel : (int, int)
        (height, width) of an image and of a filter.
    stride, pad, dilation, groups : int
        As in ``matconv.conv2d``, the same on both axes.

    Examples
    --------
    >>> layer = Layer("small", batch=2, channels=3, size=(8, 8), filters=4, kernel=(3, 3), pad=1)
    >>> layer.out_size, layer.n_inner, layer.n_positions
    ((8, 8), 27, 128)
    >>> layer.flops("forward") == 2 * 128 * 27 * 4
    True
    """

    name: str
    batch: int
    channels: int
    size: tuple[int, int]
    filters: int
    kernel: tuple[int, int]
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    groups: int = 1

    @property
    def out_size(self):
        """(b_out, a_out): floor((n + 2 pad - ((h - 1) dilation + 1)) / stride) + 1."""
        return tuple(
            (n + 2 * self.pad - ((h - 1) * self.dilation + 1)) // self.stride + 1
            for n, h in zip(self.size, self.kernel, strict=True)
        )

    @property
    def n_inner(self):
        """Length of the inner products: h_b h_a d / groups."""
        return self.kernel[0] * self.kernel[1] * self.channels // self.groups

    @property
    def n_positions(self):
        """Columns of phi over the whole batch: l b_out a_out."""
        return self.batch * self.out_size[0] * self.out_size[1]

    @property
    def image_shape(self):
        """(l, b, a, d), the shape of Z."""
        return (self.batch, *self.size, self.channels)

    @property
    def weight_shape(self):
        """(d / groups, h_b, h_a, d_out), the shape of W."""
        return (self.channels // self.groups, *self.kernel, self.filters)

    @property
    def output_shape(self):
        """(l, b_out, a_out, d_out), the shape of S."""
        return (self.batch, *self.out_size, self.filters)

    def flops(self, which):
        """Multiplications and additions of a pass of `PASSES`, done directly."""
        return 2 * self.n_positions * self.n_inner * self.filters * PASSES[which]

    def with_batch(self, batch):
        """The same layer on another number of images."""
        return Layer(**{**vars(self), "batch": batch})

    @property
    def options(self):
        """The keyword arguments of ``matconv.conv2d`` that describe the geometry."""
        return {
            "stride": self.stride,
            "pad": self.pad,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def __str__(self):
        text = f"{self.batch}, {self.channels}, {self.size[0]}, {self.filters}, {self.kernel[0]}"
        for letter, value, usual in (
            ("s", self.stride, 1),
            ("p", self.pad, 0),
            ("g", self.groups, 1),
        ):
            text += f", {letter}{value}" if value != usual else ""
        return text


def _square(name, batch, channels, size, filters, kernel, **options):
    return Layer(name, batch, channels, (size, size), filters, (kernel, kernel), **options)


_ALL = (
    _square("vgg-64", 8, 64, 56, 64, 3, pad=1),
    _square("vgg-128", 8, 128, 28, 128, 3, pad=1),
    _square("vgg-256", 16, 256, 14, 256, 3, pad=1),
    _square("vgg-512", 16, 512, 7, 512, 3, pad=1),
    _square("cifar-32", 64, 32, 32, 32, 3, pad=1),
    _square("cifar-64", 64, 64, 16, 64, 3, pad=1),
    _square("lenet-1", 128, 1, 28, 20, 5),
    _square("lenet-2", 128, 20, 12, 50, 5),
    _square("alexnet-1", 16, 3, 227, 96, 11, stride=4),
    _square("alexnet-2", 16, 96, 27, 256, 5, pad=2, groups=2),
    _square("alexnet-3", 16, 256, 13, 384, 3, pad=1),
    _square("alexnet-4", 16, 384, 13, 384, 3, pad=1, groups=2),
    _square("alexnet-5", 16, 384, 13, 256, 3, pad=1, groups=2),
    _square("resnet-stem", 8, 3, 224, 64, 7, stride=2, pad=3),
    _square("resnet-1x1-wide", 8, 64, 56, 256, 1),
    _square("resnet-1x1-narrow", 8, 256, 56, 64, 1),
    _square("resnet-1x1-s2", 8, 256, 56, 512, 1, stride=2),
    _square("resnet-3x3-s2", 8, 128, 56, 128, 3, stride=2, pad=1),
)

#: Every layer by its name.
LAYERS = {layer.name: layer for layer in _ALL}

#: Names that belong together.  ResNet-50's 3x3 layers of stride 1 have the shapes called vgg here.
SETS = {
    "core": ("vgg-64", "vgg-128", "vgg-256", "vgg-512", "cifar-32"),
    "lenet": ("lenet-1", "lenet-2"),
    "cifar": ("cifar-32", "cifar-64"),
    "alexnet": ("alexnet-1", "alexnet-2", "alexnet-3", "alexnet-4", "alexnet-5"),
    "resnet": (
        "resnet-stem",
        "resnet-1x1-wide",
        "resnet-1x1-narrow",
        "vgg-128",
        "vgg-256",
        "resnet-1x1-s2",
        "resnet-3x3-s2",
    ),
    "quick": ("vgg-512", "cifar-32", "lenet-2", "resnet-1x1-s2"),
    "all": tuple(LAYERS),
}


def select(names):
    """Return the layers of names of layers and sets, in order, each layer once.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.

    Examples
    --------
    >>> [layer.name for layer in select(["lenet", "lenet-2"])]
    ['lenet-1', 'lenet-2']
    """
    chosen = {}
    for name in names:
        if name not in SETS and name not in LAYERS:
            known = ", ".join([*SETS, *LAYERS])
            raise ValueError(f"unknown layer or set {name!r}; there are: {known}")
        for one in SETS.get(name, (name,)):
            chosen[one] = LAYERS[one]
    return list(chosen.values())


def _conv(channels, kernel, **options):
    return ("conv", {"channels": channels, "kernel": kernel, **options})


def _pool(window, **options):
    return ("pool", {"window": window, **options})


def _dense(*units):
    return tuple(("dense", {"units": n}) for n in units)


_HALF = _pool(2)

#: Networks as (kind, options) pairs, enough to build them in any library, with a usual batch.
#: Convolutions and all dense layers but the last are followed by a ReLU; pools take the maximum.
#:
#: simplenn-4 and -7 are the networks for CIFAR-10 of C.-J. Lin's simpleNN, counting layers with
#: weights; the smaller one is that of Wang, Tan and Lin, "Newton methods for convolutional neural
#: networks", who count its three convolutions.  vgg11 is VGG's configuration A on small images,
#: one dense layer left.  alexnet has its groups and overlapping pools, but neither local response
#: normalisation nor dropout.
NETS = {
    "lenet": {
        "input_shape": (28, 28, 1),
        "batch": 128,
        "layers": (_conv(20, 5), _HALF, _conv(50, 5), _HALF, *_dense(500, 10)),
    },
    "simplenn-4": {
        "input_shape": (32, 32, 3),
        "batch": 128,
        "layers": (
            *(_conv(32, 5, pad=2), _HALF),
            *(_conv(64, 3, pad=1), _HALF),
            *(_conv(64, 3, pad=1), _HALF),
            *_dense(10),
        ),
    },
    "simplenn-7": {
        "input_shape": (32, 32, 3),
        "batch": 128,
        "layers": (
            *(_conv(32, 5, pad=2), _conv(32, 3, pad=1), _HALF),
            *(_conv(64, 3, pad=1), _conv(64, 3, pad=1), _HALF),
            *(_conv(64, 3, pad=1), _conv(128, 3, pad=1), _HALF),
            *_dense(10),
        ),
    },
    "vgg11": {
        "input_shape": (32, 32, 3),
        "batch": 128,
        "layers": (
            *(_conv(64, 3, pad=1), _HALF),
            *(_conv(128, 3, pad=1), _HALF),
            *(_conv(256, 3, pad=1), _conv(256, 3, pad=1), _HALF),
            *(_conv(512, 3, pad=1), _conv(512, 3, pad=1), _HALF),
            *(_conv(512, 3, pad=1), _conv(512, 3, pad=1), _HALF),
            *_dense(10),
        ),
    },
    "alexnet": {
        "input_shape": (227, 227, 3),
        "batch": 16,
        "layers": (
            *(_conv(96, 11, stride=4), _pool(3, stride=2)),
            *(_conv(256, 5, pad=2, groups=2), _pool(3, stride=2)),
            _conv(384, 3, pad=1),
            _conv(384, 3, pad=1, groups=2),
            *(_conv(256, 3, pad=1, groups=2), _pool(3, stride=2)),
            *_dense(4096, 4096, 1000),
        ),
    },
}
