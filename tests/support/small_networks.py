"""Small networks of every kind, with parameters and images."""

import numpy as np

from matconv import AvgPool, Conv, Dense, MaxPool, Network

from . import networks

DTYPES = ("float64", "float32")

ALGORITHMS = ("auto", "im2col", "winograd")

# what ends in a convolution, in a pool, has one layer, groups, strides, dilation, "same"
NETWORKS = {
    "mixed": ((9, 8, 2), networks.MIXED),
    "conv last": ((7, 9, 3), [MaxPool(2, stride=1), Conv(5, 3, pad="same", activation=None)]),
    "pool last": ((8, 8, 2), [Conv(6, 3, stride=2), MaxPool(3, stride=2, pad=1)]),
    "mean last": ((8, 7, 2), [Conv(3, 2), AvgPool((3, 2), stride=1, pad=((1, 0), (1, 1)))]),
    "dilated": (
        (9, 9, 4), [Conv(4, 3, dilation=(2, 1), groups=2, pad=2), Conv(2, (1, 2)), Dense(3)],
    ),
    "strided": ((11, 10, 3), [Conv(8, (3, 4), stride=(2, 3), pad="same"), Dense(4, "relu")]),
    "deep": ((8, 8, 1), [Conv(16, 3, pad="same", activation="relu")] * 5 + [Dense(16, "relu")] * 3),
    "one conv": ((6, 6, 3), [Conv(4, 3)]),
    "one dense": ((3, 2, 2), [Dense(5, "relu")]),
    "one max": ((5, 6, 3), [MaxPool(2, pad=((1, 0), (0, 1)))]),
    "one mean": ((5, 6, 3), [AvgPool((2, 3), stride=2, pad=1)]),
    "tiny": ((1, 1, 1), [Dense(1)]),
}  # fmt: skip


def network(name, dtype="float64", algorithm="auto"):
    return Network(*NETWORKS[name], dtype, algorithm)


def reals(net, l, seed=0):
    """A theta with biases, and images."""
    random = np.random.default_rng(seed)
    theta = net.init(seed) + 0.1 * random.standard_normal(net.n).astype(net.dtype)
    return theta, random.standard_normal((l, *net.input_shape)).astype(net.dtype)
