"""A network for large images, with every operation."""

import numpy as np

from matconv import (
    LRN,
    Activation,
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Crop,
    Dense,
    LeakyReLU,
    LogSoftmax,
    MaxPool,
    Multiply,
    Network,
    Normalize,
    PReLU,
    Scale,
    Softmax,
    Upsample,
)  # fmt: skip

from .random_graphs import random_images, random_theta

THREADS = (1, 2, 3, 5, 8)

# few channels, so that a shard has few images; every operation, parameters that are shared, an
# unfused activation, a value that is read several times
LARGE = [
    Conv(4, 3, pad="same", activation="relu", name="first"),
    Conv(4, 3, pad="same", name="second"),
    MaxPool(2, name="pool"),
    Scale(activation=LeakyReLU(0.25), name="scale"),
    Conv(4, 3, pad="same", parameters="second", name="again"),
    Add(inputs=["scale", "again"], activation="relu", name="sum"),
    Multiply(inputs=["sum", "pool"], activation=Clip(-512, 2**14), name="product"),
    MaxPool(3, stride=2, name="overlapping"),
    AvgPool(2, stride=1, name="mean"),
    Crop(((1, 0), (0, 1)), name="cropped"),
    Conv(6, 3, stride=2, groups=2, name="strided"),
    Activation(LeakyReLU(0.5), name="leaky"),
    Concat(inputs=["strided", "leaky"], name="both"),
    AvgPool(8, name="few"),
    Dense(5, activation=LeakyReLU(0.5), name="hidden"),
    Dense(3, name="last"),
]


# operations that normalise, and activations whose results are rounded
ROUNDED = [
    Conv(6, 3, pad="same", activation="silu", name="first"),
    LRN(3, 1, 0.5, 0.75, name="lrn"),
    PReLU(name="prelu"),
    Add(inputs=["lrn", "prelu"], activation="gelu", name="sum"),
    Conv(6, 3, pad="same", activation="tanh", name="second"),
    Normalize(epsilon=0.5, name="norm"),
    Scale(activation="hard_swish", name="scale"),
    Normalize(3, 0.5, spatial=True, name="spatial"),
    Softmax(inputs="sum", name="softmax"),
    Multiply(inputs=["softmax", "scale", "spatial"], activation="softplus", name="product"),
    AvgPool(8, name="few"),
    Activation("elu", name="elu"),
    Dense(5, activation="sigmoid", name="hidden"),
    Dense(3, name="last"),
    LogSoftmax(name="log"),
]


# layers that enlarge images, and a product with images of one pixel
ENLARGING = [
    Conv(8, 3, stride=2, pad=1, activation="relu", name="first"),
    Conv(12, 3, stride=2, pad=1, activation="relu", name="second"),
    AvgPool("image", name="mean"),
    Dense(12, activation="sigmoid", name="gate"),
    Multiply(inputs=["second", "gate", "second"], name="gated"),
    ConvTranspose(8, 4, upsample=2, crop=1, activation=LeakyReLU(0.25), name="up"),
    Add(inputs=["up", "first"], name="sum"),
    ConvTranspose(8, 3, upsample=2, crop=1, extra=1, groups=2, name="again"),
    Upsample(2, "bilinear", inputs="sum", name="bilinear"),
    Upsample(2, inputs="sum", name="nearest"),
    Upsample(4, "bilinear", align_corners=True, inputs="second", name="aligned"),
    Conv(8, 1, name="mixed"),
    Add(inputs=["again", "bilinear", "nearest", "mixed"], activation="tanh", name="all"),
    AvgPool(8, name="few"),
    Dense(3, name="last"),
]


def enlarging(dtype="float64", algorithm="auto", side=128):
    """Return the network of the layers `ENLARGING` for images side x side x 2."""
    return Network((side, side, 2), ENLARGING, dtype, algorithm)


def rounded(dtype="float64", side=200):
    """Return the network of the layers `ROUNDED` for images side x side x 2."""
    return Network((side, side, 2), ROUNDED, dtype)


def large(dtype="float64", algorithm="auto", side=512):
    """Return the network of the layers `LARGE` for images side x side x 2."""
    return Network((side, side, 2), LARGE, dtype, algorithm)


def integers(net, seed=0, l=1):
    """Return a theta and images of small integers, so that many sums are exact."""
    random = np.random.default_rng(seed)
    theta = random.integers(-1, 2, net.n).astype(net.dtype)
    return theta, random.integers(-2, 3, (l, *net.input_shape)).astype(net.dtype)


def reals(net, seed=0, l=1):
    """Return a random theta and random images."""
    return random_theta(net, seed), random_images(net, seed, l)
