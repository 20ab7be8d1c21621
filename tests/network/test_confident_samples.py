"""softmax of samples with large margins, whose small terms must not be lost beside 1."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from matconv import Dense, Network, Objective
from matconv.losses import get_loss, loss_factor, loss_gradient, loss_hessian_product, loss_value

EPS = np.finfo(float).eps


def exact(z, label, dz):
    """xi, its gradient and B dz with 200 digits, rounded."""
    with localcontext() as context:
        context.prec = 200
        e = [(Decimal(x) - Decimal(max(z))).exp() for x in z]
        p = [x / sum(e) for x in e]
        mean = sum(a * Decimal(b) for a, b in zip(p, dz, strict=True))
        value = -p[label].ln()
        gradient = [a - (j == label) for j, a in enumerate(p)]
        product = [a * (Decimal(b) - mean) for a, b in zip(p, dz, strict=True)]
    return float(value), np.array(gradient, float), np.array(product, float)


def in_python(z, label, dz):
    loss, rows = get_loss("softmax"), (z[np.newaxis], np.array([label]))
    product = loss_hessian_product(loss, *rows, dz[np.newaxis])[0]
    return loss_value(loss, *rows), loss_gradient(loss, *rows, 1.0)[1][0], product


def compiled(z, label, dz):
    """As a function of the biases of a network without weights."""
    net = Network((1, 1, 1), [Dense(4)])
    f = Objective(net, np.zeros((1, 1, 1, 1)), np.array([label]), "softmax")
    theta, v = np.concatenate([np.zeros(4), z]), np.concatenate([np.zeros(4), dz])
    value, gradient = f.value_and_gradient(theta)
    return value, gradient[4:], f.gnp(theta, v)[4:]


@pytest.mark.parametrize("implementation", [in_python, compiled])
@pytest.mark.parametrize("margin", [0.5, 5.0, 25.0, 36.0, 40.0, 200.0])
@pytest.mark.parametrize("label", range(4))
def test_softmax_is_accurate_for_confident_samples(label, margin, implementation):
    z = np.array([0.25, margin, -1.5, 0.75])
    dz = np.random.default_rng(label).standard_normal(4)
    value, gradient, product = exact(z, label, dz)
    found = implementation(z, label, dz)
    # of exp: 1 ulp, and the rounding of its argument, which is at most margin + 2; some sums
    bound = (margin + 10) * EPS
    assert abs(found[0] - value) <= bound * value
    for one, truth in ((found[1], gradient), (found[2], product)):
        assert np.abs(one - truth).max() <= bound * np.abs(truth).max()


@pytest.mark.parametrize("margin", [36.0, 40.0, 200.0])
def test_product_with_softmax_is_that_with_its_factor(margin):
    z, dz = np.array([[margin, 0.0, 1.0]]), np.array([[0.3, -2.0, 0.7]])
    loss, y = get_loss("softmax"), np.array([0])
    S = loss_factor(loss, z, y)[0]
    product = loss_hessian_product(loss, z, y, dz)[0]
    bound = 10 * EPS * np.abs(product).max()
    np.testing.assert_allclose(product, S @ (S.T @ dz[0]), rtol=0, atol=bound)
    assert (product != 0).all()
