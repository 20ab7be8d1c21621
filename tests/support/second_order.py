"""Problems, directions and references for the tests of second-order products."""

from pathlib import Path

import numpy as np

from matconv import (
    LRN,
    Activation,
    AvgPool,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    LogSoftmax,
    MaxPool,
    Multiply,
    Network,
    Normalize,
    Objective,
    Scale,
    Softmax,
    Upsample,
)  # fmt: skip
from support.networks import images
from support.python_losses import SquaredError
from support.random_graphs import random_images, random_theta

RECORDED = Path(__file__).parent.parent / "io" / "simplenn" / "tiny-a.npz"
# <Jv, u> and <v, J'u> differ by the rounding errors of both passes
ADJOINT = {"float64": 1e-13, "float32": 1e-13 * 2.0**29}

# every operation without kinks; values that are read twice, parameters that are shared
SMOOTH = [
    Conv(4, 3, pad="same", activation="tanh", name="a"),
    Conv(4, 3, pad="same", activation="silu", name="b"),
    Scale(activation="gelu", name="scale"),
    Conv(4, 3, pad="same", activation="softplus", parameters="b", name="again"),
    Multiply(inputs=["scale", "again", "scale"], name="product"),
    LRN(3, 1, 0.5, 0.75, name="lrn"),
    AvgPool(2, name="mean"),
    ConvTranspose(3, 3, 2, 1, activation="sigmoid", name="up"),
    Upsample(2, "bilinear", inputs="mean", name="bilinear"),
    Concat(inputs=["bilinear", "lrn"], name="both"),
    Normalize(epsilon=0.5, name="norm"),
    Conv(3, 3, stride=2, pad=1, inputs="norm", name="strided"),
    Activation("sigmoid", name="sigmoid"),
    Softmax(inputs="up", name="softmax"),
    Dropout(0.5, name="dropout"),
    Dense(4, name="one", inputs="dropout"),
    Dense(4, name="other", inputs="sigmoid"),
    Multiply(inputs=["one", "other"], name="joined"),
    LogSoftmax(name="last"),
]


def problem(net, l=5, seed=0, **options):
    """An objective, theta, directions v and w, and a u of the shape of the outputs."""
    random = np.random.default_rng(seed)
    output = net.outputs[random.integers(len(net.outputs))] if net.outputs else None
    theta, Z = random_theta(net, seed), random_images(net, seed, l)
    shape = net.program(output).shape(net.program(output).target)
    y = random.standard_normal((l, int(np.prod(shape)))).astype(net.dtype)
    f = Objective(net, Z, y, output=output, **options)
    v, w = random.standard_normal((2, net.n)).astype(net.dtype)
    return f, theta, v, w, random.standard_normal((l, f.n_outputs)).astype(net.dtype)


def assert_equal_products(one, other, scale, dtype):
    assert abs(one - other) <= ADJOINT[dtype] * scale


def wide(*arrays):
    return [np.asarray(x, np.float64).ravel() for x in arrays]


def regression(loss, l=40, **options):
    """A dense layer on vectors, its objective, X with a column of ones, theta as (W; b)."""
    net = Network((1, 1, 4), [Dense(3)])
    random = np.random.default_rng(5)
    Z, y = random.standard_normal((l, 1, 1, 4)), random.integers(0, 3, l)
    X = np.hstack([Z.reshape(l, 4), np.ones((l, 1))])
    theta = random.standard_normal(net.n)
    return Objective(net, Z, y, loss, **options), X, theta, random.standard_normal(net.n)


def softmax_blocks(z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return np.einsum("ij,jk->ijk", p, np.eye(p.shape[1])) - np.einsum("ij,ik->ijk", p, p)


def recorded(loss):
    with np.load(RECORDED) as file:
        data = dict(file)
    net = Network((6, 7, 2), [
        Conv(3, 3, pad=1, activation="relu"), MaxPool(2), Conv(4, 2, activation="relu"),
        Dense(5, activation="relu"), Dense(3),
    ])  # fmt: skip
    return data, Objective(net, data["Z"], data["y"], loss, C=float(data["C"]))


class CurvedError(SquaredError):
    """SquaredError with its Hessian."""

    def hessian_product(self, z, y, dz):
        assert not dz.flags.writeable
        return 2 * dz


def labelled(l=9, dtype="float64", **options):
    net = Network((6, 6, 1), [Conv(4, 3, activation="tanh"), Dense(3)], dtype)
    Z, y = images(net, l)
    random = np.random.default_rng(2)
    theta, v = random.standard_normal((2, net.n)).astype(dtype)
    return net, Z, y, theta, v
