"""Losses written in Python, and forms of the arrays that they return."""

import numpy as np

from matconv import Conv, Dense, Network, Objective
from matconv.losses import SquaredLoss
from support import layouts

L = 9


NETWORKS = {
    # the gradient goes straight into the ReLU's, into a dense layer's, into that of images
    "relu": [Conv(4, 3, activation="relu"), Dense(3, activation="relu")],
    "dense": [Conv(4, 3, activation="relu"), Dense(3)],
    "images": [Conv(4, 3, activation="relu"), Conv(3, 4, activation="relu")],
}


class SquaredError:
    """Squared difference from one-hot labels, computed without matrix products."""

    def targets(self, Y, l, n_outputs, dtype):
        return np.eye(n_outputs, dtype=dtype)[Y]

    def value(self, z, y):
        return float(np.square(z - y).sum())

    def value_and_gradient(self, z, y):
        return self.value(z, y), 2 * (z - y)


class Squared:
    """SquaredLoss, written by a user; ``gradient`` and ``value`` change what it returns."""

    def __init__(self, gradient=lambda dz: dz, value=lambda value: value):
        self._gradient, self._value = gradient, value

    def targets(self, Y, l, n_outputs, dtype):
        return np.asarray(Y, dtype)

    def value(self, z, y):
        return self._value(float(np.sum((z - y) ** 2, dtype=np.float64)))

    def value_and_gradient(self, z, y):
        return self.value(z, y), self._gradient(2 * (z - y))


def problem(name="relu", dtype=np.float64, l=L):
    """A network, images, targets as rows of integers, a theta of integers."""
    net = Network((6, 6, 1), NETWORKS[name], dtype, "im2col")
    random = np.random.default_rng(0)
    Z = random.integers(-2, 3, (l, 6, 6, 1)).astype(dtype)
    Y = random.integers(-3, 4, (l, net.n_outputs)).astype(dtype)
    theta = random.integers(-1, 2, net.n).astype(dtype)
    return net, Z, Y, theta


def compare(loss, name="relu", dtype=np.float64, l=L):
    """f and its gradient by a loss are those of SquaredLoss; on integers the same bits."""
    net, Z, Y, theta = problem(name, dtype, l)
    before = Z.tobytes(), Y.tobytes(), theta.tobytes()
    expected = Objective(net, Z, Y, SquaredLoss()).value_and_gradient(theta)
    assert expected[0] > 0 and expected[1].any()
    for n_threads in (1, 2):
        f = Objective(net, Z, Y, loss, n_threads=n_threads)
        for _ in range(2):
            value, gradient = f.value_and_gradient(theta)
            assert type(value) is float and value == expected[0] == f.value(theta)
            assert gradient.dtype == dtype and gradient.tobytes() == expected[1].tobytes()
    assert (Z.tobytes(), Y.tobytes(), theta.tobytes()) == before


class Tensor:
    """An array of another library, as NumPy sees it: by its method __array__ alone."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self._array, dtype)


FORMS = {
    "Fortran order": layouts.transposed,
    "negative strides": layouts.negative_strides,
    "gaps": layouts.non_contiguous,
    "read-only": layouts.read_only,
    "misaligned": layouts.misaligned,
    "swapped bytes": layouts.byte_swapped,
    "float32": lambda dz: dz.astype(np.float32),
    "float64": lambda dz: dz.astype(np.float64),
    "float16": lambda dz: dz.astype(np.float16),
    "longdouble": lambda dz: dz.astype(np.longdouble),
    "int64": lambda dz: dz.astype(np.int64),
    "int8": lambda dz: dz.astype(np.int8),
    "list": lambda dz: dz.tolist(),
    "list of arrays": list,
    "tuple of int": lambda dz: tuple(tuple(map(int, row)) for row in dz),
    "__array__": Tensor,
    "matrix": lambda dz: dz.view(Subclass),
}


class Subclass(np.ndarray):
    """An ndarray by another name."""
