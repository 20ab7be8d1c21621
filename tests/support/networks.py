"""Small networks and data for the tests of networks, objectives and files."""

import numpy as np

from matconv import AvgPool, Conv, Dense, MaxPool, Network

# convolutions, both pools, dense layers; padding, stride, groups, both activations
MIXED = (
    Conv(4, 3, pad="same", activation="relu"),
    MaxPool(2),
    Conv(6, (2, 3), stride=(1, 2), pad=((1, 0), (1, 2)), groups=2),
    AvgPool(2, stride=1),
    Dense(7, activation="relu"),
    Dense(3),
)
LENET = (
    Conv(20, 5, activation="relu"),
    MaxPool(2),
    Conv(50, 5, activation="relu"),
    MaxPool(2),
    Dense(500, activation="relu"),
    Dense(10),
)


def mixed(dtype=np.float64, algorithm="auto"):
    """Return a chain of convolutions, pools and dense layers for images 9 x 8 x 2; 3 outputs."""
    return Network((9, 8, 2), MIXED, dtype, algorithm)


def lenet(dtype=np.float64, algorithm="auto"):
    """Return LeNet for images 28 x 28 x 1."""
    return Network((28, 28, 1), LENET, dtype, algorithm)


def images(net, l, seed=0):
    """Return l random images and labels for a network."""
    random = np.random.default_rng(seed)
    Z = random.standard_normal((l, *net.input_shape)).astype(net.dtype)
    return Z, random.integers(0, net.n_outputs, l)
