"""L-BFGS: equal to SciPy's, and steps where f is not finite."""

import numpy as np
import pytest
from scipy import optimize
from support.minimizing import C, Cliff, Spy, small, thetas_of

from matconv import Dense, Network, Objective, minimize
from matconv.solvers import TrainingError


def test_lbfgs_is_that_of_scipy():
    f, theta0 = small()
    result = minimize(f, theta0, max_iterations=15)
    truth = optimize.minimize(
        f.value_and_gradient,
        theta0,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 15, "maxcor": 10, "gtol": 1e-5, "ftol": 1e-9},
    )
    assert result.theta.tobytes() == truth.x.tobytes()
    assert result.f == truth.fun
    assert (result.iterations, len(result.history)) == (15, 15)
    assert result.message == "15 iterations done" and not result.converged


def test_lbfgs_history_costs_no_evaluation_and_is_exact():
    f, theta0 = small()
    spy = Spy(f)
    thetas, result = thetas_of(spy, theta0, iterations=12)
    truth = optimize.minimize(
        f.value_and_gradient, theta0, jac=True, method="L-BFGS-B", options={"maxiter": 12}
    )
    assert len(spy.seen) == truth.nfev
    for k, (theta, row) in enumerate(zip(thetas, result.history, strict=True)):
        value, gradient = f.value_and_gradient(theta)
        assert row["iteration"] == k + 1
        assert row["f"] == value
        assert row["gradient_norm"] == np.linalg.norm(gradient)
    values = [row["f"] for row in result.history]
    assert values == sorted(values, reverse=True) and len(set(values)) == 12
    seconds = [row["seconds"] for row in result.history]
    assert 0 < seconds[0] and seconds == sorted(seconds) and seconds[-1] <= result.seconds


def test_lbfgs_converges_by_either_tolerance():
    # linear outputs: f is smooth and strongly convex
    f, _ = small()
    net = Network((4, 4, 1), [Dense(3)])
    f, theta0 = Objective(net, f.Z, f.Y, "softmax", C), net.init(1)
    by_gradient = minimize(f, theta0, max_iterations=1000, gtol=1e-3, ftol=0)
    assert by_gradient.converged
    assert by_gradient.message == "every entry of the gradient is within gtol = 0.001"
    assert abs(f.gradient(by_gradient.theta)).max() <= 1e-3
    by_value = minimize(f, theta0, max_iterations=1000, gtol=0, ftol=1e-3)
    assert by_value.converged
    assert by_value.message == "f decreased by less than ftol = 0.001, relatively"
    assert by_value.iterations < by_gradient.iterations


def test_lbfgs_memory_is_used():
    f, theta0 = small()
    short = minimize(f, theta0, max_iterations=15, memory=1)
    long = minimize(f, theta0, max_iterations=15, memory=10)
    assert not np.array_equal(short.theta, long.theta)


def test_lbfgs_at_the_limit_of_precision_ends_without_error():
    f, theta0 = small(np.float32)
    result = minimize(f, theta0, max_iterations=2000, gtol=0, ftol=0)
    assert result.iterations < 2000
    assert result.message in (
        "f decreased by less than ftol = 0, relatively",
        "the line search finds no lower f: the limit of the precision",
    )
    assert f(result.theta) == result.f < f(theta0)


@pytest.mark.parametrize("beyond", [np.nan, np.inf, -np.inf])
def test_lbfgs_shortens_steps_where_f_is_not_finite(beyond):
    f = Cliff(beyond)
    theta0 = np.zeros(f.net.n)
    theta0[:2] = -30, 3
    result = minimize(f, theta0, max_iterations=200)
    assert f.fell > 0
    assert result.converged
    assert abs(result.theta[0] - 0.998) < 1e-4 and abs(result.theta[1]) < 1e-4


class Wall:
    """f = -slope t of theta = (t, 0, ...), undefined for t > 0."""

    def __init__(self, slope):
        self.net = small()[0].net
        self.slope = slope

    def value_and_gradient(self, theta):
        gradient = np.zeros_like(theta)
        gradient[0] = -self.slope
        return (-self.slope * theta[0] if theta[0] <= 0 else np.nan), gradient


@pytest.mark.catalogue(37)
@pytest.mark.parametrize("slope", [1e-3, 1.0, 1e3, 1e9])
def test_lbfgs_not_finite_near_theta0_raises(slope):
    f = Wall(slope)
    with pytest.raises(TrainingError, match="^lbfgs: f is nan at step 1$") as caught:
        minimize(f, np.zeros(f.net.n))
    assert not caught.value.result.theta.any() and caught.value.result.history == []


def test_lbfgs_after_a_step_forgets_trials_not_finite():
    # one trial of step 1 is not finite; much later the gradient lies, so that no step helps
    class Lying(Spy):
        def value_and_gradient(self, theta):
            f, gradient = super().value_and_gradient(theta)
            if len(self.seen) == 2:
                return np.nan, gradient
            return f, -gradient if len(self.seen) > 8 else gradient

    f, theta0 = small()
    result = minimize(Lying(f), theta0, ftol=0, gtol=0)
    assert result.message == "the line search finds no lower f: the limit of the precision"
    assert result.iterations > 3 and f(result.theta) == result.f < f(theta0)
