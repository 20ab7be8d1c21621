"""Methods of SciPy by name: the bits of SciPy's own calls, trials that are rejected, errors."""

import numpy as np
import pytest
from scipy import optimize
from support.minimizing import Cliff, small, thetas_of

from matconv import Dense, Network, Objective, minimize
from matconv.kernels._guard import guarded
from matconv.solvers import Run, TrainingError
from matconv.solvers.progress import Progress
from matconv.solvers.scipy_methods import CURVATURES, _Iterates

# SciPy's options for what `minimize` does itself; trust-constr counts the evaluation at theta0
SECOND_ORDER = {
    "trust-ncg": ({"gtol": 0}, 0),
    "trust-krylov": ({"gtol": 0}, 0),
    "Newton-CG": ({}, 0),
    "trust-constr": ({"gtol": 0}, 1),
}
EACH = pytest.mark.parametrize("method", SECOND_ORDER)


class Counting(Objective):
    """An objective that counts evaluations and products."""

    gradients = products = 0

    def value_and_gradient(self, theta):
        self.gradients += 1
        return super().value_and_gradient(theta)

    def gnp(self, theta, v):
        self.products += 1
        return super().gnp(theta, v)

    def hessp(self, theta, v):
        self.products += 1
        return super().hessp(theta, v)


def counting(**options):
    f, theta0 = small(**options)
    f.__class__ = Counting
    return f, theta0


def of_scipy(f, theta0, method, iterations, multiply):
    """SciPy's own result, and theta after every iteration."""
    options, before = SECOND_ORDER[method]
    thetas = []

    def callback(intermediate_result):
        thetas.append(intermediate_result.x.copy())

    def product(x, p):
        return multiply(x, p)

    found = guarded(
        optimize.minimize, f.value_and_gradient, theta0, jac=True, hessp=product, method=method,
        callback=callback, options={**options, "maxiter": iterations + before},
    )  # fmt: skip
    return found, thetas[before:]


@EACH
@pytest.mark.parametrize("curvature", CURVATURES)
def test_method_is_that_of_scipy(curvature, method):
    f, theta0 = counting()
    truth, expected = of_scipy(f, theta0, method, 12, getattr(f, CURVATURES[curvature]))
    g, _ = counting()
    thetas, result = thetas_of(g, theta0, method, 12, curvature=curvature)
    assert [theta.tobytes() for theta in thetas] == [theta.tobytes() for theta in expected]
    assert result.theta.tobytes() == truth.x.tobytes() and result.f == truth.fun
    assert (result.iterations, len(result.history)) == (12, 12)
    assert result.message == "12 iterations done" and not result.converged
    assert (g.gradients, g.products) == (f.gradients, f.products)


@EACH
def test_history_is_exact_also_where_a_step_is_rejected(method):
    f, theta0 = small()
    thetas, result = thetas_of(f, theta0, method, 25)
    for theta, row in zip(thetas, result.history, strict=True):
        value, gradient = f.value_and_gradient(theta)
        assert (row["f"], row["gradient_norm"]) == (value, np.linalg.norm(gradient))
    values = [f(theta0), *(row["f"] for row in result.history)]
    assert values == sorted(values, reverse=True)
    # with these data each trust region rejects a step, and the line search none
    assert (len(set(values)) < len(values)) == (method != "Newton-CG")


def test_iteration_that_ends_before_the_last_trial_has_its_own_f():
    f, theta0 = counting()
    run = Run("Newton-CG", theta0, None, Progress())
    trials = _Iterates(f, run, 0.0, 0)
    first, second = (theta0 - step * f.gradient(theta0) for step in (0.01, 0.02))
    for x in (theta0, first, second):
        trials.value_and_gradient(x)
    trials.accept(optimize.OptimizeResult(x=first))
    assert run.theta.tobytes() == first.tobytes() and run.history[0]["f"] == f(first)


@EACH
def test_method_converges_by_the_gradient(method):
    f, _ = small()
    net = Network((4, 4, 1), [Dense(3)])
    f, theta0 = Objective(net, f.Z, f.Y, "softmax", C=20), net.init(1)
    result = minimize(f, theta0, method, 1000, gtol=1e-3)
    assert (
        result.converged and result.message == "every entry of the gradient is within gtol = 0.001"
    )
    assert abs(f.gradient(result.theta)).max() <= 1e-3
    assert (abs(f.gradient(theta0)).max() > 1e-3) and result.iterations == len(result.history)
    g, _ = counting()
    g = Counting(net, f.Z, f.Y, "softmax", C=20)
    again = minimize(g, result.theta, method, gtol=1e-3)
    assert again.converged and again.history == [] and g.gradients == 1
    assert (again.f, again.gradient_norm) == (result.f, result.gradient_norm)


@EACH
def test_single_precision_keeps_its_dtype_and_ends_at_the_limit_of_precision(method):
    f, theta0 = small(np.float32)
    result = minimize(f, theta0, method, 300, gtol=0)
    assert result.theta.dtype == np.float32 and f(result.theta) == result.f < 0.5 * f(theta0)
    assert result.iterations < 300
    assert result.message.startswith(("SciPy: ", "the steps do not change theta: "))


@EACH
def test_callback_stops_scipy(method):
    f, theta0 = small()

    def stop(state):
        if state.iteration == 2:
            raise StopIteration

    result = minimize(f, theta0, method, 9, callback=stop)
    assert result.message == "stopped by the callback"
    assert (result.iterations, result.converged, result.interrupted) == (2, False, False)
    assert result.theta.tobytes() == minimize(f, theta0, method, 2).theta.tobytes()


@EACH
@pytest.mark.catalogue(38)
def test_interrupt_within_a_product_keeps_the_last_step(method):
    f, theta0 = small()
    states = []

    def product(theta, v):
        if len(states) == 3:
            raise KeyboardInterrupt
        return Objective.gnp(f, theta, v)

    f.gnp = product
    result = minimize(f, theta0, method, 9, callback=states.append)
    assert result.interrupted and result.iterations == 3
    assert result.theta.tobytes() == states[-1].theta.tobytes() and result.f == states[-1].f


def test_l_bfgs_b_is_lbfgs():
    f, theta0 = small()
    one, other = (minimize(f, theta0, name, 12, memory=5) for name in ("lbfgs", "L-BFGS-B"))
    assert one.theta.tobytes() == other.theta.tobytes() and one.message == other.message


# the curvature


class Quadratic:
    """f = sum_j a_j theta_j^2 / 2, with I for its Gauss-Newton matrix."""

    def __init__(self):
        self.net = small()[0].net
        self.a = np.linspace(1, 3, self.net.n)

    def value_and_gradient(self, theta):
        return float(theta @ (self.a * theta)) / 2, self.a * theta

    def gnp(self, theta, v):
        return v.copy()


@EACH
def test_curvature_hessian_multiplies_by_the_hessian(method):
    f = Quadratic()
    f.hessp = lambda theta, v: f.a * v
    theta0 = np.ones(f.net.n)
    few = minimize(f, theta0, method, 90, curvature="hessian", gtol=1e-6)
    f.hessp = None
    assert few.converged and few.iterations < minimize(f, theta0, method, gtol=1e-6).iterations


@EACH
def test_curvature_without_products_raises(method):
    f, theta0 = Quadratic(), np.ones(Quadratic().net.n)
    message = f"^{method}: curvature 'hessian' needs an objective with a method hessp$"
    with pytest.raises(TypeError, match=message):
        minimize(f, theta0, method, curvature="hessian")
    with pytest.raises(ValueError, match="curvature must be one of gauss-newton, hessian, got 'x'"):
        minimize(f, theta0, method, curvature="x")


# where f is not finite


@EACH
@pytest.mark.parametrize("beyond", [np.nan, np.inf, -np.inf])
def test_steps_are_shortened_where_f_is_not_finite(method, beyond):
    f = Cliff(beyond)
    f.gnp = lambda theta, v: 0.1 * v
    theta0 = np.zeros(f.net.n)
    theta0[:2] = -30, 3
    result = minimize(f, theta0, method, 12)
    assert f.fell > 0 and result.iterations == len(result.history) > 1
    assert result.f < f.value_and_gradient(theta0)[0] and result.theta[0] < 1


@EACH
@pytest.mark.catalogue(37)
def test_not_finite_near_theta0_raises(method):
    f = Quadratic()
    theta0 = np.ones(f.net.n)
    f.value_and_gradient = lambda theta: (
        (1.0, theta) if theta.tobytes() == theta0.tobytes() else (np.nan, theta)
    )
    if method in ("Newton-CG", "trust-constr"):
        # the line search ends; the radius falls below xtol
        with pytest.raises(TrainingError, match=f"^{method}: f is nan at step ") as caught:
            minimize(f, theta0, method)
        assert caught.value.result.theta.tobytes() == theta0.tobytes()
    else:
        result = minimize(f, theta0, method, 100)
        assert result.theta.tobytes() == theta0.tobytes()
