"""SciPy's methods where a product is not finite or the radii contradict each other."""

import numpy as np
import pytest
from support.python_losses import SquaredError

from matconv import Dense, Network, Objective, minimize
from matconv.solvers import TrainingError

METHODS = ["trust-ncg", "trust-krylov", "Newton-CG", "trust-constr"]


class Overflowing(SquaredError):
    """A loss whose Hessian is not finite, unlike its value and gradient."""

    def hessian_product(self, z, y, dz):
        return dz * np.inf


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("curvature", "matrix"), [("gauss-newton", "Gauss-Newton matrix"), ("hessian", "Hessian")]
)
def test_product_that_is_not_finite_raises(method, curvature, matrix):
    net = Network((1, 1, 3), [Dense(2, activation="tanh"), Dense(1)])
    random = np.random.default_rng(0)
    Z, Y = random.standard_normal((6, 1, 1, 3)), np.zeros(6, int)
    f, theta = Objective(net, Z, Y, Overflowing()), random.standard_normal(net.n)
    with pytest.raises(TrainingError, match=f"a product with the {matrix} is not finite") as caught:
        minimize(f, theta, method, curvature=curvature)
    assert caught.value.result.theta.tobytes() == theta.tobytes()
    assert caught.value.result.f == f(theta)


@pytest.mark.parametrize("method", ["trust-ncg", "trust-krylov"])
@pytest.mark.parametrize(("initial", "largest"), [(5.0, 5.0), (2000.0, 1000.0)])
def test_initial_trust_radius_not_below_the_maximum_raises(method, initial, largest):
    net = Network((1, 1, 1), [Dense(1)])
    f = Objective(net, np.ones((2, 1, 1, 1)), np.zeros((2, 1)))
    expected = (
        f"{method}: initial_trust_radius must be less than max_trust_radius, got {initial} and "
        f"{largest}"
    )
    with pytest.raises(ValueError, match=f"^{expected}$"):
        minimize(f, np.ones(2), method, initial_trust_radius=initial, max_trust_radius=largest)
