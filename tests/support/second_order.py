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
    PReLU,
    Scale,
    Softmax,
    Upsample,
)  # fmt: skip
from matconv.losses import SquaredLoss
from support.networks import images
from support.passes import block
from support.python_losses import SquaredError
from support.random_graphs import random_graph, random_images, random_theta

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


def assert_close(actual, expected, relative=1e-13):
    norm = np.linalg.norm(expected)
    assert np.linalg.norm(actual - expected) <= relative * norm and norm > 0


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


def regression_hessian(loss, X, theta, C):
    """The Hessian of f of `regression`, which is its Gauss-Newton matrix, in closed form."""
    # theta is W (inputs, units), then b: the rows of X W with X = (Z, 1)
    z = X @ theta.reshape(5, 3)
    B = 2 * np.broadcast_to(np.eye(3), (len(X), 3, 3)) if loss == "squared" else softmax_blocks(z)
    return np.einsum("ia,ijk,ib->ajbk", X, B, X).reshape(15, 15) / len(X) + np.eye(15) / C


def softmax_blocks(z):
    """The Hessians of the loss "softmax" with respect to the rows of z."""
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


def labelled(loss="softmax", dtype="float64", **options):
    """An objective of 9 images with labels, theta and a direction."""
    net = Network((6, 6, 1), [Conv(4, 3, activation="tanh"), Dense(3)], dtype)
    random = np.random.default_rng(2)
    theta, v = random.standard_normal((2, net.n)).astype(dtype)
    return Objective(net, *images(net, 9), loss, **options), theta, v


def assert_python_loss_has_product(method, weighted, dtype):
    """Compare a method of an objective with a loss in Python with that of the compiled loss."""
    options = {"C": 3.0, "weights": np.array([1.0, 2.0, 0.0] * 3) if weighted else None}
    found, expected = (
        getattr(f, method)(theta, v)
        for f, theta, v in (
            labelled(loss, dtype, **options) for loss in (CurvedError(), SquaredLoss())
        )
    )
    bound = 100 * np.finfo(dtype).eps * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


def positions(**options):
    """An objective whose samples are positions, some not labelled, theta and a direction."""
    net = Network((4, 5, 2), [Conv(3, 3, pad=1, activation="tanh"), Conv(2, 1)])
    random = np.random.default_rng(4)
    Z, y = random.standard_normal((6, 4, 5, 2)), random.integers(-1, 2, (6, 4, 5))
    theta, v = random.standard_normal((2, net.n))
    return Objective(net, Z, y, "softmax", **options), theta, v


def for_threads(l, loss, dtype, mixed):
    """Arguments of objectives whose threads share one shard (l = 2) or the shards of `mixed`.

    Returns those of `Objective`, theta, a direction, and an array like the outputs.
    """
    net = mixed(dtype) if l > 2 else Network((48, 40, 3), [
        Conv(16, 3, pad="same", activation="relu"), MaxPool(3, stride=2),
        Conv(32, 3, pad="same", activation="silu"), Scale(), PReLU(), Dense(3),
    ], dtype)  # fmt: skip
    random = np.random.default_rng(0)
    theta, v = net.init(0), random.standard_normal(net.n).astype(dtype)
    u = random.standard_normal((l, 3)).astype(dtype)
    return (net, *images(net, l), CurvedError() if loss == "python" else loss), theta, v, u


class PreparedGraph:
    """A random graph of layers, its program, and theta and a direction prepared for its passes.

    ``hessian`` says whether the direction is for products with the Hessian.
    """

    def __init__(self, seed, dtype, hessian):
        self.net = net = random_graph(seed, dtype)
        self.theta, self.Z = random_theta(net, seed), random_images(net, seed)
        self.v, self.program = random_theta(net, seed + 1), net.program(net.outputs[0])
        self.prepared, t_prepared = (block(self.program.prepared_bytes) for _ in range(2))
        self.program.prepare(self.theta, self.prepared, True)
        self.program.prepare(self.v, t_prepared, hessian)
        # the first arguments of passes along the direction
        self.directed = self.theta, self.prepared, self.v, t_prepared


class Counted:
    """A program that records calls of `forward`."""

    def __init__(self, program, calls):
        self._program, self._calls = program, calls

    def __getattr__(self, name):
        if name == "forward":
            self._calls.append(name)
        return getattr(self._program, name)
