"""The public checks of derivatives find wrong derivatives, and only these."""

import numpy as np
import pytest
from support.networks import images
from support.random_graphs import random_graph
from support.second_order import CurvedError, problem

from matconv import Conv, Dense, MaxPool, Network, Objective, minimize
from matconv.checking import Check, check_gradient, check_loss, check_products
from matconv.curvature import Linearization
from matconv.data import load_digits
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
        ("jvp", ["J v and J'u, adjoint", "Gauss-Newton products, J'B J v",
                 "J v along the best of random directions"]),
        ("vjp", ["J v and J'u, adjoint", "Gauss-Newton products, J'B J v"]),
        ("gauss_newton", ["Gauss-Newton products, symmetric", "Gauss-Newton products, J'B J v"]),
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


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_pass(loss, offset):
    """Also where z plus a step is rounded, so that it has another direction."""
    z = offset + np.random.default_rng(0).standard_normal((40, 4))
    found = check_loss(loss, z, np.arange(40) % 4)
    assert len(found) == 5 and failed(found) == []


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


# points where differences are hard to take


def smooth(Y, loss="squared", **options):
    """Return an objective without kinks on some digits."""
    net = Network((8, 8, 1), [Conv(4, 3, stride=2, activation="tanh"), Dense(2)])
    return Objective(net, load_digits().Z_train[: len(Y)], Y, loss, **options)


@pytest.mark.parametrize("seed", range(4))
def test_initial_theta_where_inputs_of_relu_are_0_passes(seed):
    """The biases are 0, and regions of the digits are blank."""
    digits = load_digits()
    net = Network((8, 8, 1), [
        Conv(16, 3, pad="same", activation="relu"), MaxPool(2),
        Conv(32, 3, pad="same", activation="relu"), MaxPool(2), Dense(10),
    ])  # fmt: skip
    f = Objective(net, digits.Z_train[:64], digits.y_train[:64], "softmax", C=1000)
    theta = net.init(seed)
    assert failed(check_gradient(f, theta, seed)) == [] == failed(check_products(f, theta, seed))


def test_theta_0_is_checked_nearby():
    f = smooth(np.zeros(20, int), "softmax")
    theta = np.zeros(f.net.n)
    assert failed(check_gradient(f, theta)) == [] == failed(check_products(f, theta))
    assert not theta.any()


def test_rounding_errors_of_large_values_are_in_the_bound():
    f = smooth(np.full((200, 2), 1e4))
    found = check_gradient(f, f.net.init(0))
    assert failed(found) == [] == failed(check_products(f, f.net.init(0)))
    # some differences exceed the bound that does not contain rounding errors
    assert max(check.difference for check in found) > 1e-7
    assert all(1e-7 < check.bound < 1e-3 for check in found)


def test_theta_near_a_minimum_passes():
    f = smooth(np.arange(100) % 2, "softmax", C=10.0)
    theta = minimize(f, f.net.init(0), "trust-ncg", max_iterations=50).theta
    assert np.linalg.norm(f.gradient(theta)) < 1e-4
    for seed in range(4):
        found = check_gradient(f, theta, seed) + check_products(f, theta, seed)
        assert failed(found) == []


def test_objective_close_to_0_passes():
    net = Network((8, 8, 1), [Conv(8, 3, pad=1, activation="relu"), MaxPool(2), Dense(10)])
    digits = load_digits()
    f = Objective(net, digits.Z_train[:200], digits.y_train[:200], "softmax")
    theta = minimize(f, net.init(0), max_iterations=30).theta
    assert f(theta) < 1e-5
    assert failed(check_gradient(f, theta)) == [] == failed(check_products(f, theta))


def test_loss_close_to_0_passes():
    """Probabilities of 1 - 1e-5 and more have an error of eps that the loss does not show."""
    y = np.arange(40) % 4
    found = check_loss("softmax", 10 * np.eye(4)[y], y)
    assert failed(found[:3]) == []
    assert 1e-5 < found[0].bound < 1e-3


@pytest.mark.parametrize("residual", [1e3, 1e7])
def test_doubled_hessian_product_of_large_residuals_is_found(residual):
    f = smooth(np.full((50, 2), residual), Scaled(hessian_product=2.0))
    expected = ["B dz along the best of random directions"]
    assert expected == failed(check_products(f, f.net.init(0)))[-1:]
    f = smooth(np.full((50, 2), residual), Scaled())
    assert failed(check_products(f, f.net.init(0))) == []


def test_doubled_gauss_newton_product_is_found(monkeypatch):
    f, theta = kinked(weights=np.arange(12) / 3, penalty={"biases": 0})
    assert failed(check_products(f, theta)) == []
    right = Linearization.gauss_newton
    monkeypatch.setattr(Linearization, "gauss_newton", lambda at, v: 2 * right(at, v))
    assert failed(check_products(f, theta)) == ["Gauss-Newton products, J'B J v"]


@pytest.mark.parametrize("loss", ["softmax", "logistic", "hinge"])
def test_right_derivatives_of_positions_pass(loss):
    net = Network((4, 4, 2), [Conv(4, 3, pad=1, activation="relu"), Conv(3, 1)])
    random = np.random.default_rng(0)
    Y = random.integers(-1, 3, (10, 4, 4))
    f = Objective(net, images(net, 10)[0], Y, loss, C=10.0, weights=np.arange(10) % 3)
    for part in (f, f.subset([7, 1, 1])):
        theta = net.init(0)
        assert failed(check_gradient(part, theta)) == [] == failed(check_products(part, theta))


class Scaled(CurvedError):
    """Half the sum of squares, plus a constant for each sample; derivatives times factors."""

    def __init__(self, constant=0.0, gradient=1.0, hessian_product=1.0):
        self.constant, self.factors = constant, (gradient, hessian_product)

    def value(self, z, y):
        return 0.5 * ((z - y) ** 2).sum() + self.constant * len(z)

    def targets(self, Y, l, n_outputs, dtype):
        return np.asarray(Y, dtype)

    def value_and_gradient(self, z, y):
        return self.value(z, y), self.factors[0] * (z - y)

    def hessian_product(self, z, y, dz):
        return self.factors[1] * dz


@pytest.mark.parametrize("target", [0.0, 1e2, 1e4])
@pytest.mark.parametrize("constant", [0.0, 1e6, 1e9])
@pytest.mark.parametrize("factor", [1.0, 1.01, 2.0])
def test_gradient_of_a_large_loss_is_right_only_without_a_factor(target, constant, factor):
    z = np.random.default_rng(0).standard_normal((20, 3))
    Y = np.full((20, 3), target)
    found = check_loss(Scaled(constant, gradient=factor), z, Y)
    assert found[0].name == "gradient of the loss"
    assert found[0].bound < 3e-3
    assert found[0].holds == (factor == 1)


def test_loss_of_many_samples_differences_without_the_error_of_their_sum():
    z = np.random.default_rng(0).standard_normal((5000, 2))
    assert failed(check_loss(Scaled(), z, np.zeros(z.shape))) == []
    assert check_loss(Scaled(), z, np.zeros(z.shape))[0].bound < 2e-7


@pytest.mark.parametrize("method", ["value", "value_and_gradient"])
def test_value_that_is_a_mean_is_found(method):
    class Mean(Scaled):
        def value(self, z, y):
            return super().value(z, y) / (len(z) if method == "value" else 1)

        def value_and_gradient(self, z, y):
            value = Scaled.value(self, z, y) / (len(z) if method != "value" else 1)
            return value, z - y

    z = np.random.default_rng(0).standard_normal((20, 3))
    found = check_loss(Mean(), z, np.zeros(z.shape))
    assert failed(found) == ["value of the loss, sum over samples"]


def test_gradient_that_is_0_is_found():
    z = np.random.default_rng(0).standard_normal((20, 3))
    found = check_loss(Scaled(gradient=0.0, hessian_product=0.0), z, np.zeros(z.shape))
    assert failed(found) == ["gradient of the loss"]
    assert found[0].difference == 1


def test_bound_due_to_rounding_above_a_tenth_does_not_hold():
    assert Check("decided", 0.05, 0.1).holds
    assert not Check("not decided", 0.05, 0.11).holds
    assert not Check("not decided", 0.0, np.inf).holds
    z = np.random.default_rng(0).standard_normal((20, 3))
    found = check_loss(Scaled(constant=1e14), z, np.zeros(z.shape))[0]
    assert found.bound > 0.1 and not found.holds


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.ones((3, 2), complex), "check_loss: z must be of real numbers, got complex128"),
        (np.ones((3, 2), bool), "check_loss: z must be of real numbers, got bool"),
        (np.ma.masked_less(np.ones((3, 2)), 0),
         "check_loss: z is a masked array; fill it or drop the mask first"),
    ],
)  # fmt: skip
def test_outputs_that_are_not_plain_real_numbers_are_refused(z, message):
    with pytest.raises(TypeError) as caught:
        check_loss("squared", z, np.zeros(3, int))
    assert str(caught.value) == message


def test_outputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"check_loss: z must have shape \(samples, n_outputs\)"):
        check_loss("squared", np.ones(3), np.ones(3))
