"""The public checks of derivatives find wrong derivatives, and only these."""

import numpy as np
import pytest
from support.networks import images
from support.random_graphs import random_graph
from support.second_order import CurvedError, problem

from matconv import Conv, Dense, MaxPool, Network, Objective
from matconv.checking import check_gradient, check_loss, check_products
from matconv.curvature import Linearization
from matconv.losses import LOSSES


def failed(found):
    return [check.name for check in found if not check.holds]


def kinked(dtype="float64", **options):
    net = Network((8, 7, 2), [
        Conv(4, 3, pad=1, activation="relu"), MaxPool(2), Conv(5, 2, activation="tanh"), Dense(3),
    ], dtype)  # fmt: skip
    Z, y = images(net, 12)
    theta = net.init(0) + np.random.default_rng(0).standard_normal(net.n).astype(dtype) / 20
    return Objective(net, Z, y, **{"loss": "softmax", "C": 50.0, **options}), theta


@pytest.mark.parametrize("loss", LOSSES)
def test_right_derivatives_pass(loss):
    f, theta = kinked(loss=loss)
    assert failed(check_gradient(f, theta)) == [] == failed(check_products(f, theta))


def test_right_derivatives_of_random_graphs_pass():
    for seed in range(20):
        f, theta, *_ = problem(random_graph(seed), seed=seed, C=20.0)
        assert failed(check_products(f, theta, seed)) == []


def test_single_precision_is_checked_without_differences():
    f, theta = kinked("float32")
    found = check_products(f, theta)
    assert len(found) == 3 and failed(found) == []
    with pytest.raises(TypeError, match="check_gradient: differences need float64, the network"):
        check_gradient(f, theta)


def test_wrong_gradient_is_found(monkeypatch):
    f, theta = kinked()
    gradient = Objective.gradient
    monkeypatch.setattr(f, "gradient", lambda theta: gradient(f, theta) * 1.001, raising=False)
    assert len(failed(check_gradient(f, theta))) == 4


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("jvp", ["J v and J'u, adjoint", "J v along the best of random directions"]),
        ("vjp", ["J v and J'u, adjoint"]),
        ("gauss_newton", ["Gauss-Newton products, symmetric"]),
        ("hessian",
         ["Hessian products, symmetric", "Hessian along the best of random directions"]),
    ],
)  # fmt: skip
def test_wrong_product_is_found(monkeypatch, method, expected):
    """With an error in some elements only."""
    f, theta = kinked()
    right = getattr(Linearization, method)

    def wrong(at, x):
        product = right(at, x).copy()
        product.ravel()[::2] *= 1.001
        return product

    monkeypatch.setattr(Linearization, method, wrong)
    assert failed(check_products(f, theta)) == expected


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_pass(loss):
    z = np.random.default_rng(0).standard_normal((40, 4))
    found = check_loss(loss, z, np.arange(40) % 4)
    assert len(found) == 4 and failed(found) == []


class Spoilt(CurvedError):
    """CurvedError with a factor, and an error in one of its methods."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def wrong(self, method, array):
        return array * (1.001 if method == self.fault else 1.0)

    def value_and_gradient(self, z, y):
        value, gradient = super().value_and_gradient(z, y)
        return value, self.wrong("gradient", gradient)

    def hessian_product(self, z, y, dz):
        if self.fault == "asymmetric":
            return 2 * dz + 1e-3 * dz[:, :1]
        return self.wrong("hessian_product", super().hessian_product(z, y, dz))

    def factor(self, z, y):
        S = np.broadcast_to(np.sqrt(2) * np.eye(z.shape[1]), (*z.shape, z.shape[1]))
        return self.wrong("factor", S)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (None, []),
        ("gradient", ["gradient of the loss", "Hessian of the loss"]),
        ("hessian_product", ["Hessian of the loss", "factor of the Hessian of the loss"]),
        ("asymmetric", ["Hessian of the loss", "Hessian of the loss, symmetric",
                        "factor of the Hessian of the loss"]),
        ("factor", ["factor of the Hessian of the loss"]),
    ],
)  # fmt: skip
def test_wrong_loss_is_found(fault, expected):
    z = np.random.default_rng(0).standard_normal((20, 3))
    assert failed(check_loss(Spoilt(fault), z, np.arange(20) % 3)) == expected


def test_outputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"check_loss: z must have shape \(samples, n_outputs\)"):
        check_loss("squared", np.ones(3), np.ones(3))
