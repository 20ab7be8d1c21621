"""An object of every public class that can be pickled, and a hash of what each computes."""

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import partial

import numpy as np

from matconv import AvgPool, Conv, Dense, FormatError, MaxPool, Network, Objective, minimize
from matconv.data import Split, load_digits
from matconv.io import Model
from matconv.kernels._geometry import WindowGeometry
from matconv.kernels.predictor import Predictor
from matconv.losses import LOSSES, HuberLoss, SquaredLoss
from matconv.solvers import Result, State, TrainingError
from support.minimizing import small
from support.networks import MIXED, images, mixed


class Scaled(SquaredLoss):
    """A user's loss with a parameter."""

    def __init__(self, factor):
        self.factor = factor

    def value(self, z, y):
        return self.factor * super().value(z, y)

    def value_and_gradient(self, z, y):
        value, gradient = super().value_and_gradient(z, y)
        return self.factor * value, self.factor * gradient


def objective(dtype, **options):
    net = mixed(dtype)
    return Objective(net, *images(net, 40), **{"loss": "softmax", "C": 3.0, **options})


def failed():
    """Return a TrainingError that `minimize` raises after some steps."""
    f, theta0 = small()
    try:
        minimize(f, theta0, "sgd", 1000, batch_size=8, learning_rate=100.0, seed=0)
    except TrainingError as error:
        return error
    raise AssertionError("no TrainingError")


def state():
    states = []
    minimize(*small(), "lbfgs", 2, callback=states.append)
    return states[-1]


def model(dtype):
    net = mixed(dtype)
    return Model(
        net, net.init(0), ("a", "b", "c"), {"shift": 1.0, "scale": 0.5}, {"history": [1, 2]}
    )


class Subjects(Mapping):
    """Objects by name, made at first use."""

    def __init__(self, makers):
        self._makers, self._made = makers, {}

    def __getitem__(self, name):
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self):
        return iter(self._makers)

    def __len__(self):
        return len(self._makers)


def made_in(dtype):
    """Return makers of the objects that have a dtype."""
    f, name = partial(objective, dtype, n_threads=2), np.dtype(dtype).name
    return {
        f"Network, {name}": lambda: mixed(dtype),
        f"Predictor, {name}": lambda: mixed(dtype).freeze(mixed(dtype).init(0)),
        f"Model, {name}": lambda: model(dtype),
        f"Objective, {name}": f,
        f"Objective, a subset, {name}": lambda: f().subset([3, 3, 39, 0, 7]),
        f"Objective, a subset of one, {name}": lambda: f().subset(slice(5, 30)).subset([4, 2]),
        f"Objective, weights, {name}": lambda: weighted(dtype),
        f"Objective, weights, a subset, {name}": lambda: weighted(dtype).subset([3, 39, 0, 7]),
    }


def weighted(dtype):
    """An objective with weights, images without label, and factors of the regularisation."""
    net = mixed(dtype)
    Z, y = images(net, 40)
    y[3] = -1
    more = {"weights": np.arange(40), "penalty": {"biases": 0}, "C": 3.0}
    return Objective(net, Z, y, HuberLoss(0.5), **more)


def make():
    """Return the objects by name."""
    makers = {
        "Network, winograd": lambda: Network((9, 8, 2), MIXED, np.float64, "winograd"),
        "Network, one pool": lambda: Network((9, 8, 2), [MaxPool(2)]),
        "Conv": lambda: Conv(4, (3, 2), 1, "same", algorithm="im2col", activation="relu"),
        "Dense": lambda: Dense(3, "relu"),
        "MaxPool": lambda: MaxPool((3, 2), 2, ((1, 0), (0, 1))),
        "AvgPool": lambda: AvgPool(2, np.int64(1)),
        **{kind.__name__: kind for kind in LOSSES.values()},
        "HuberLoss, 0.5": lambda: HuberLoss(0.5),
        "Result": lambda: minimize(*small(), "lbfgs", 3),
        "State": state,
        "TrainingError": failed,
        "FormatError": lambda: FormatError("'m.npz': damaged"),
        "Split": load_digits,
        "WindowGeometry": lambda: WindowGeometry(
            "conv2d", (2, 8, 8, 2), 3, (1, 2), ((0, 1), (1, 0))
        ),
        "Objective, a loss of the user's": lambda: objective(np.float64, loss=Scaled(2.0)),
        "Objective, all threads": lambda: objective(np.float64),
    }
    for dtype in (np.float64, np.float32):
        makers |= made_in(dtype)
    return Subjects(makers)


def digest(subject):
    """Return a hash of the bits of what an object has and computes."""
    total = hashlib.sha256()
    for part in parts(subject):
        if isinstance(part, np.ndarray):
            total.update(repr((part.dtype.str, part.shape)).encode())
            total.update(np.ascontiguousarray(part).tobytes())
        else:
            total.update(repr(part).encode())
    return total.hexdigest()


def parts(subject):
    yield type(subject).__name__
    if isinstance(subject, Network):
        theta, (Z, _) = subject.init(1), images(subject, 5)
        yield from (subject, subject.algorithm, subject.summary(), subject.forward(theta, Z))
    elif isinstance(subject, Objective):
        theta = subject.net.init(1)
        f, gradient = subject.value_and_gradient(theta)
        yield from (f, gradient, subject.value(theta), subject.outputs(theta), subject.l, subject.C)
    elif isinstance(subject, Predictor):
        random = np.random.default_rng(0)
        Z = random.standard_normal((3, *subject.input_shape)).astype(subject.dtype)
        yield from (subject(Z), subject.nbytes, subject.output_shape)
    elif isinstance(subject, Model):
        yield from (subject.labels, subject.preprocessing, subject.training, subject.theta)
        yield subject.predict(np.ones((2, *subject.network.input_shape)))
        yield from parts(subject.network)
    elif isinstance(subject, (Result, State)):
        for field in dataclasses.fields(subject):
            yield getattr(subject, field.name)
    elif isinstance(subject, TrainingError):
        yield str(subject)
        yield from parts(subject.result)
    elif isinstance(subject, Split):
        yield from subject
    elif isinstance(subject, WindowGeometry):
        yield from (subject.shape, subject.out_shape, subject.pad, subject.function)
    else:
        yield repr(subject)


def digest_and_back(subject):
    """Return a digest and the object, to be called in another process."""
    return digest(subject), subject
