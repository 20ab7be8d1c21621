"""The Newton method: simpleNN's steps, conjugate gradients, subsamples, line search."""

import numpy as np
import pytest
from support.minimizing import small, thetas_of
from support.simplenn import main, problem, recorded, steps

from matconv import Dense, Network, Objective, minimize
from matconv.solvers import TrainingError, conjugate
from matconv.solvers.conjugate import Basis, conjugate_gradients
from matconv.solvers.newton import METHOD, Newton, Subsamples

# simpleNN's steps


@pytest.fixture(scope="module")
def digits():
    return problem()


@pytest.mark.parametrize("reorthogonalize", [True, False])
@pytest.mark.parametrize("k", range(30))
def test_step_from_recorded_theta_is_that_of_simplenn(k, reorthogonalize, digits):
    data, log = recorded()
    method = steps(digits, damping=log["lambda_used"][k], reorthogonalize=reorthogonalize)
    before, wrong = method.evaluate(data["theta"][k - 1] if k else data["theta0"])
    assert wrong is None
    step = method.step(before, data["batch"][k])
    assert (step.solution.products, step.alpha) == (log["cg"][k], log["alpha"][k])

    def close(actual, expected):
        assert abs(actual - expected) <= 1e-9 * abs(expected)

    close(method.damping, log["lambda_after"][k])
    close(step.damping, log["lambda_used"][k])
    close(step.point.f, log["f"][k])
    close(step.point.gradient_norm, log["gradient_norm"][k])
    close(step.solution.gs, log["gs"][k])
    close(step.solution.sGs, log["sGs"][k])
    close(step.ratio, log["ratio"][k])
    moved = np.linalg.norm(step.point.theta - before.theta)
    assert np.linalg.norm(step.point.theta - data["theta"][k]) <= 1e-9 * moved


def test_recorded_steps_have_every_branch():
    _, log = recorded()
    factors = log["lambda_after"] / log["lambda_used"]
    assert {round(factor, 12) for factor in factors} == {round(2 / 3, 12), 1.0, 1.5}
    assert {*log["alpha"]} == {0.5, 1.0}


def test_whole_trajectory_is_printed(capsys):
    main(reorthogonalize=True)
    titles, *lines, end = capsys.readouterr().out.splitlines()
    assert len(lines) == 30 and end.startswith("equal predictions: ")
    number, own, cg, alpha, its_alpha, own_lambda, its_lambda, *_ = lines[0].split()
    assert (number, own, alpha, own_lambda) == ("1", cg, its_alpha, its_lambda)
    assert titles.split()[:3] == ["iteration", "#CG", "alpha"]


# conjugate gradients


def spectrum(values, seed=0):
    """A symmetric matrix of given eigenvalues, and a vector."""
    random = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(random.standard_normal((len(values), len(values))))
    return (Q * values) @ Q.T, random.standard_normal(len(values))


def solved(G, g, damping=0.0, tolerance=1e-10, products=10**6, reorthogonalize=True):
    return conjugate_gradients(
        G.__matmul__, g, damping, tolerance, products, reorthogonalize=reorthogonalize
    )


@pytest.mark.parametrize("reorthogonalize", [True, False])
def test_conjugate_gradients_solve_the_equation(reorthogonalize):
    G, g = spectrum(np.linspace(1, 9, 30))
    found = solved(G, g, damping=0.5, reorthogonalize=reorthogonalize)
    s = found.s
    assert np.linalg.norm((G + 0.5 * np.eye(30)) @ s + g) <= 1.1e-10 * np.linalg.norm(g)
    assert abs(found.gs - s @ g) <= 1e-14 * abs(found.gs)
    assert abs(found.sGs - s @ G @ s) <= 1e-9 * found.sGs
    assert 5 < found.products <= 30


def test_conjugate_gradients_end_by_tolerance_or_maximum():
    G, g = spectrum(np.linspace(1, 9, 30))
    count = solved(G, g, tolerance=0.1).products
    for tolerance in (0.1, 0.5):
        found = solved(G, g, tolerance=tolerance)
        assert np.linalg.norm(G @ found.s + g) <= 1.0001 * tolerance * np.linalg.norm(g)
        one_less = solved(G, g, tolerance=0.0, products=found.products - 1)
        assert one_less.products == found.products - 1
        assert np.linalg.norm(G @ one_less.s + g) > tolerance * np.linalg.norm(g)
    assert count > 1


def test_reorthogonalized_residuals_need_no_more_products_than_unknowns():
    # of 40 eigenvalues from 1 to 1e8; without rounding errors at most 40 products are needed
    G, g = spectrum(np.logspace(0, 8, 40))
    assert solved(G, g).products <= 40
    assert solved(G, g, reorthogonalize=False).products > 80


def test_reorthogonalized_residuals_limit_the_effect_of_noise():
    G, g = spectrum(np.logspace(0, 8, 40))
    random = np.random.default_rng(1)

    def noisy(d):
        Gd = G @ d
        return Gd * (1 + 1e-16 * random.integers(-2, 3, len(d)))

    found = {}
    for name, product in (("exact", G.__matmul__), ("noisy", noisy)):
        for reorthogonalize in (True, False):
            found[name, reorthogonalize] = conjugate_gradients(
                product, g, 0.0, 0.0, 25, reorthogonalize=reorthogonalize
            ).s
    norm = np.linalg.norm(found["exact", True])
    effect = {
        one: np.linalg.norm(found["exact", one] - found["noisy", one]) / norm
        for one in (True, False)
    }
    assert effect[True] < 1e-10
    assert effect[False] > 1e-5


def test_basis_keeps_no_more_vectors_than_fit(monkeypatch):
    basis = Basis(10, max_bytes=3 * 80)
    for k in range(5):
        basis.add(2.0 * np.eye(10)[k], 2.0)
    vector = np.ones(10)
    basis.remove_from(vector)
    assert vector.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    # more than a block
    basis = Basis(50, max_bytes=40 * 400)
    for k in range(45):
        basis.add(np.eye(50)[k], 1.0)
    vector = np.ones(50)
    basis.remove_from(vector)
    assert vector.tolist() == [0] * 40 + [1] * 10
    monkeypatch.setattr(conjugate, "MAX_BYTES", 8 * 40 * 10)
    G, g = spectrum(np.logspace(0, 4, 40))
    found = solved(G, g, tolerance=1e-8)
    assert np.linalg.norm(G @ found.s + g) <= 1e-7 * np.linalg.norm(g)


def test_curvature_not_positive_ends_conjugate_gradients():
    g = np.array([1.0, -2.0, 0.5])
    found = solved(-np.eye(3), g)
    assert found.s.tolist() == (-g).tolist() and found.products == 1
    assert (found.gs, found.sGs) == (-(g @ g), -(g @ g))
    G = np.diag([1.0, 2.0, -0.1])
    found = solved(G, g)
    assert 1 < found.products <= 3 and found.gs < 0
    with pytest.raises(FloatingPointError, match="a product with the Gauss-Newton matrix is not"):
        solved(np.full((3, 3), np.nan), g)


# the matrix of a step


def linear(l=40, **options):
    """A network that is linear, X, and y; its Gauss-Newton matrix is the Hessian."""
    random = np.random.default_rng(5)
    net = Network((1, 1, 4), [Dense(3, bias=False)])
    X, Y = random.standard_normal((l, 4)), random.standard_normal((l, 3))
    f = Objective(net, X.reshape(l, 1, 1, 4), Y, "squared", **options)
    return f, net.init(1), X


def test_step_has_regularisation_once_and_the_matrix_of_the_subsample():
    p = np.linspace(0, 2, 12)
    f, theta, X = linear(C=3.0, penalty=p)
    method = steps(f, damping=0.7, cg_tolerance=0.0, cg_iterations=60)
    point, _ = method.evaluate(theta)
    S = np.array([3, 7, 8, 30])
    step = method.step(point, S)
    # a column of Z for each image: f = |X W' - Y|^2 / l, theta has W' by rows of 3
    G = 2 / 4 * np.kron(X[S].T @ X[S], np.eye(3)) + np.diag(p) / 3 + 0.7 * np.eye(12)
    s = np.linalg.solve(G, -f.gradient(theta))
    np.testing.assert_allclose(step.solution.s, s, rtol=1e-10)
    np.testing.assert_array_equal(step.point.theta, theta + step.alpha * step.solution.s)


def test_newton_solves_a_linear_problem_in_one_step():
    f, theta, _ = linear(C=3.0)
    result = minimize(
        f, theta, "newton", 1, subsample=1, damping=0, cg_tolerance=0, cg_iterations=12, gtol=1e-12
    )
    assert result.converged and result.iterations == 1
    assert result.message == "every entry of the gradient is within gtol = 1e-12"
    assert abs(f.gradient(result.theta)).max() <= 1e-12
    (row,) = result.history
    assert row["alpha"] == 1 and abs(row["ratio"] - 1) < 1e-10 and row["damping"] == 0


def test_newton_at_a_minimum_makes_no_step():
    f, theta, _ = linear(C=3.0)
    theta = minimize(f, theta, "newton", 30, subsample=1, damping=0, gtol=1e-9).theta
    result = minimize(f, theta, "newton")
    assert result.converged and result.history == [] and result.f == f(theta)
    assert result.theta.tobytes() == theta.tobytes()


# subsamples


def test_subsamples_are_blocks_of_permutations():
    subsamples = Subsamples(1438, 0.05, 7)
    for cycle in range(3):
        blocks = [subsamples(20 * cycle + k) for k in range(20)]
        assert {len(block) for block in blocks} == {72}
        order = np.random.default_rng([7, cycle]).permutation(1438)
        joined = np.concatenate(blocks)
        np.testing.assert_array_equal(joined[:1438], order)
        np.testing.assert_array_equal(joined[1438:], order[:2])
    assert len(Subsamples(10, 1e-9, 0)(0)) == 1
    assert Subsamples(10, 0.96, 0)(3) is None


class Recording(Objective):
    """An objective that records its subsets."""

    def subset(self, indices):
        self.__dict__.setdefault("subsets", []).append(np.array(indices))
        return super().subset(indices)


def test_newton_uses_subsamples_in_turn_and_continues_them():
    f, theta, _ = linear(C=1.0)
    f.__class__ = Recording
    minimize(f, theta, "newton", 5, subsample=0.4, seed=9, gtol=0)
    minimize(f, theta, "newton", 2, subsample=0.4, seed=9, gtol=0, start=3)
    subsamples = Subsamples(40, 0.4, 9)
    for indices, k in zip(f.subsets, [0, 1, 2, 3, 4, 3, 4], strict=True):
        np.testing.assert_array_equal(indices, subsamples(k))


def test_newton_has_the_same_bits_for_any_number_of_threads():
    found = set()
    for n_threads in (1, 2, 3, 5, 8):
        f, theta0 = small(l=600, n_threads=n_threads)
        thetas, result = thetas_of(f, theta0, "newton", 4, seed=1, subsample=0.5)
        details = [[row[name] for name in METHOD.history] for row in result.history]
        found.add((b"".join(theta.tobytes() for theta in thetas), str(details), result.f))
    assert len(found) == 1


# history


def test_newton_history_is_exact():
    f, theta0 = small(l=60)
    thetas, result = thetas_of(f, theta0, "newton", 8, seed=2, damping=0.5)
    damping, before = 0.5, theta0
    for theta, row in zip(thetas, result.history, strict=True):
        value, gradient = f.value_and_gradient(theta)
        assert (row["f"], row["gradient_norm"]) == (value, np.linalg.norm(gradient))
        assert row["damping"] == damping
        assert row["products"] >= 1 and value < f(before)
        damping *= 1.5 if row["ratio"] < 0.25 else 2 / 3 if row["ratio"] >= 0.75 else 1
        before = theta
    assert result.f == f(result.theta) and result.message == "8 iterations done"


# the line search


class Bowl:
    """f = theta'theta / 2 where |theta| <= radius; beyond it what ``beyond`` returns."""

    def __init__(self, beyond, radius=np.inf, curvature=1.0):
        self.net, self.l = small()[0].net, 1
        self.beyond, self.radius, self.curvature = beyond, radius, curvature
        self.fell = 0

    def value_and_gradient(self, theta):
        f, gradient = float(theta @ theta / 2), theta.copy()
        if np.sqrt(2 * f) > self.radius:
            self.fell += 1
            return self.beyond(f, gradient)
        return f, gradient

    def value(self, theta):
        return self.value_and_gradient(theta)[0]

    def subset(self, indices):
        return self

    def linearize(self, theta):
        return self

    def gauss_newton(self, v):
        return self.curvature * v


def nan_gradient(f, gradient):
    return f, gradient * np.nan


BEYOND = pytest.mark.parametrize(
    ("beyond", "what"),
    [
        (lambda f, gradient: (np.nan, gradient), "f is nan"),
        (lambda f, gradient: (np.inf, gradient), "f is inf"),
        (lambda f, gradient: (-np.inf, gradient), "f is -inf"),
        (nan_gradient, "the gradient of f is not finite"),
    ],
)


@BEYOND
def test_newton_shortens_steps_where_f_is_not_finite(beyond, what):
    # the curvature is underestimated, so that s = -32 theta; s / 16 leads to -theta
    f = Bowl(beyond, radius=8.0, curvature=1 / 32)
    theta0 = np.zeros(f.net.n)
    theta0[0] = 4
    result = minimize(f, theta0, "newton", 1, damping=0, cg_tolerance=0)
    assert f.fell == 4
    assert result.history[0]["alpha"] == 1 / 32 and not result.theta.any()


@pytest.mark.catalogue(37)
@BEYOND
def test_newton_not_finite_however_short_the_step_raises(beyond, what):
    f = Bowl(beyond, radius=1.0)
    f.value_and_gradient = lambda theta: (
        (1.0, -theta) if theta.tobytes() == theta0.tobytes() else beyond(0.5, theta)
    )
    theta0 = np.ones(f.net.n)
    with pytest.raises(TrainingError, match=f"^newton: {what} at step 1$") as caught:
        minimize(f, theta0, "newton")
    assert caught.value.result.theta.tobytes() == theta0.tobytes()
    assert (caught.value.result.f, caught.value.result.history) == (1.0, [])


@pytest.mark.catalogue(37)
def test_newton_product_not_finite_raises():
    f = Bowl(None, curvature=np.nan)
    with pytest.raises(
        TrainingError,
        match="^newton: a product with the Gauss-Newton matrix is not finite at step 1$",
    ) as caught:
        minimize(f, np.ones(f.net.n), "newton")
    assert caught.value.result.f == f.net.n / 2


def test_newton_without_a_lower_f_ends():
    f = Bowl(None)
    evaluate = f.value_and_gradient
    f.value_and_gradient = lambda theta: (evaluate(theta)[0], -theta)
    values = []
    f.value = lambda theta: values.append(theta) or float(theta @ theta / 2)
    result = minimize(f, np.ones(f.net.n), "newton")
    assert result.message == "the line search finds no lower f: the limit of the precision"
    assert not result.converged and result.history == [] and len(values) == 30


def test_newton_ends_where_squares_of_the_gradient_underflow():
    f = Bowl(None)
    result = minimize(f, np.full(f.net.n, 1e-200), "newton", gtol=0)
    assert result.message == "the line search finds no lower f: the limit of the precision"


def test_newton_steps_along_the_gradient_where_curvature_is_negative():
    f = Bowl(None, curvature=-5.0)
    theta0 = np.ones(f.net.n)
    result = minimize(f, theta0, "newton", 1)
    assert not result.theta.any() and result.history[0]["products"] == 1


def test_newton_at_the_limit_of_precision_ends_without_error():
    f, theta0 = small(np.float32)
    result = minimize(f, theta0, "newton", 2000, subsample=1, gtol=0)
    assert result.iterations < 2000
    assert result.message == "the line search finds no lower f: the limit of the precision"
    assert f(result.theta) == result.f < f(theta0)


# interrupts


@pytest.mark.catalogue(38)
def test_newton_interrupted_within_conjugate_gradients_keeps_the_last_step(monkeypatch):
    f, theta0 = small(l=60)
    whole, _ = thetas_of(f, theta0, "newton", 3, seed=1)
    product, calls = Newton._product, []

    def interrupted(self, theta, indices):
        multiply = product(self, theta, indices)
        calls.append(theta)

        def counted(d):
            if len(calls) == 3:
                raise KeyboardInterrupt
            return multiply(d)

        return counted

    monkeypatch.setattr(Newton, "_product", interrupted)
    result = minimize(f, theta0, "newton", 3, seed=1)
    assert result.interrupted and result.iterations == 2
    assert result.theta.tobytes() == whole[1].tobytes() and result.f == f(whole[1])
