"""Bad input, errors and interrupts during training."""

import threading

import numpy as np
import pytest
from support.threads import on_threads
from threadpoolctl import threadpool_limits

from matconv import Conv, Dense, Network, Objective, minimize
from matconv.engines import ThreadEngine
from matconv.losses import SoftmaxLoss
from matconv.solvers import Result, TrainingError

EACH = pytest.mark.parametrize("method", ["lbfgs", "sgd", "newton", "Newton-CG"])


def problem(dtype=np.float64, loss="softmax", l=24, n_threads=1):
    random = np.random.default_rng(3)
    net = Network((4, 4, 1), [Conv(3, 2, activation="relu"), Dense(3)], dtype)
    Z = random.standard_normal((l, 4, 4, 1)).astype(dtype)
    return Objective(net, Z, random.integers(0, 3, l), loss, 50, n_threads), net.init(0)


class Failing:
    """An objective whose evaluation number ``at`` (counted from 1), and all after, go wrong."""

    def __init__(self, objective, at, fail, count=None, thetas=None):
        self.objective, self.at, self.fail = objective, at, fail
        self.net, self.l = objective.net, objective.l
        self.count = [0] if count is None else count
        self.thetas = [] if thetas is None else thetas

    def value_and_gradient(self, theta):
        self.count[0] += 1
        self.thetas.append(theta.copy())
        f, gradient = self.objective.value_and_gradient(theta)
        return self.fail(f, gradient) if self.count[0] >= self.at else (f, gradient)

    def __getattr__(self, name):
        if name not in ("value", "linearize", "gnp"):
            raise AttributeError(name)
        return getattr(self.objective, name)

    def subset(self, indices):
        part = self.objective.subset(indices)
        return Failing(part, self.at, self.fail, self.count, self.thetas)


def nan_f(f, gradient):
    return float("nan"), gradient


def infinite_f(f, gradient):
    return float("inf"), gradient


def nan_gradient(f, gradient):
    gradient[2] = np.nan
    return f, gradient


WRONG = pytest.mark.parametrize(
    ("fail", "what"),
    [
        (nan_f, "f is nan"),
        (infinite_f, "f is inf"),
        (nan_gradient, "the gradient of f is not finite"),
    ],
)


@pytest.mark.catalogue(37)
@WRONG
def test_minimize_not_finite_at_theta0_raises(fail, what):
    f, theta0 = problem()
    for method in ("lbfgs", "newton", "Newton-CG", "trust-ncg"):
        with pytest.raises(TrainingError, match=f"^{method}: {what} at theta0$") as caught:
            minimize(Failing(f, 1, fail), theta0, method)
        assert caught.value.result.theta.tobytes() == theta0.tobytes()
        assert caught.value.result.history == []
    with pytest.raises(TrainingError, match=f"^sgd: {what} at batch 1 of epoch 1; ") as caught:
        minimize(Failing(f, 1, fail), theta0, "sgd")
    assert caught.value.result.theta.tobytes() == theta0.tobytes()
    assert np.isnan(caught.value.result.f)


@pytest.mark.catalogue(37)
@WRONG
def test_lbfgs_not_finite_at_step_k(fail, what):
    f, theta0 = problem()
    whole = minimize(f, theta0, max_iterations=30)
    failing = Failing(f, 8, fail)
    with pytest.raises(TrainingError) as caught:
        minimize(failing, theta0, max_iterations=30)
    result = caught.value.result
    step = len(result.history) + 1
    assert 2 < step <= 8
    assert str(caught.value) == f"lbfgs: {what} at step {step}"
    assert result.message == str(caught.value) and not result.converged
    # what came before is what would have come without the fault
    assert [row["f"] for row in result.history] == [row["f"] for row in whole.history[: step - 1]]
    assert f(result.theta) == result.f == result.history[-1]["f"]


@pytest.mark.catalogue(37)
@WRONG
def test_sgd_not_finite_at_batch_k(fail, what):
    f, theta0 = problem()
    failing = Failing(f, 8, fail)
    with pytest.raises(TrainingError) as caught:
        minimize(failing, theta0, "sgd", 9, batch_size=8, seed=0)
    error, result = caught.value, caught.value.result
    assert str(error) == f"sgd: {what} at batch 2 of epoch 3; a smaller learning rate may help"
    # f was finite for the last time at the seventh evaluation
    assert result.theta.tobytes() == failing.thetas[6].tobytes()
    assert result.iterations == len(result.history) == 2
    assert np.isfinite(result.f)


@pytest.mark.catalogue(37)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sgd_that_diverges_keeps_a_finite_theta(dtype):
    f, theta0 = problem(dtype, loss="squared")
    with pytest.raises(TrainingError, match=r"^sgd: .* of epoch \d+; a smaller learning") as caught:
        minimize(f, theta0, "sgd", 1000, batch_size=8, learning_rate=100.0, seed=0)
    theta = caught.value.result.theta
    assert np.isfinite(theta).all() and theta.dtype == dtype
    assert not np.array_equal(theta, theta0)


@pytest.mark.catalogue(37)
def test_sgd_last_theta_not_finite_raises():
    # one step per epoch, and no batch after it that would show where it led
    f, theta0 = problem(np.float32)

    def huge(value, gradient):
        gradient[:] = 3e38
        return value, gradient

    with pytest.raises(
        TrainingError, match="sgd: theta is not finite at the end of epoch 1;"
    ) as caught:
        minimize(Failing(f, 1, huge), theta0, "sgd", 1, batch_size=24, learning_rate=100.0)
    assert caught.value.result.theta.tobytes() == theta0.tobytes()


class Trouble(Exception):
    pass


@pytest.mark.catalogue(38)
@EACH
def test_exception_of_a_callback_carries_the_result(method):
    f, theta0 = problem()
    states = []

    def callback(state):
        states.append(state)
        if state.iteration == 3:
            raise Trouble("at step 3")
        return {"seen": state.iteration}

    with pytest.raises(Trouble, match="at step 3") as caught:
        minimize(f, theta0, method, 9, callback=callback)
    result = caught.value.result
    assert isinstance(result, Result)
    assert result.iterations == 3 and not result.interrupted
    assert result.theta.tobytes() == states[-1].theta.tobytes()
    assert result.theta.tobytes() != theta0.tobytes()
    assert result.message == "Trouble: at step 3"
    assert [row.get("seen") for row in result.history] == [1, 2, None]


@pytest.mark.catalogue(38)
def test_exception_of_a_batch_carries_the_last_step():
    f, theta0 = problem()

    def fail(value, gradient):
        raise MemoryError("no more")

    failing = Failing(f, 6, fail)
    with pytest.raises(MemoryError, match="no more") as caught:
        minimize(failing, theta0, "sgd", 9, batch_size=8, seed=0)
    # five steps were made, the sixth batch was to be evaluated there
    assert caught.value.result.theta.tobytes() == failing.thetas[5].tobytes()
    assert caught.value.result.iterations == 1


@pytest.mark.catalogue(38)
@EACH
def test_exception_before_the_first_step_has_no_result(method):
    f, theta0 = problem()

    def fail(value, gradient):
        raise Trouble

    with pytest.raises(Trouble) as caught:
        minimize(Failing(f, 1, fail), theta0, method)
    assert not hasattr(caught.value, "result")


@pytest.mark.catalogue(38)
@EACH
def test_minimize_ctrl_c_in_a_callback_returns_result(method):
    f, theta0 = problem()
    states = []

    def callback(state):
        states.append(state)
        if state.iteration == 3:
            raise KeyboardInterrupt

    result = minimize(f, theta0, method, 9, callback=callback)
    assert result.interrupted and result.message == "interrupted" and not result.converged
    assert result.iterations == 3
    assert result.theta.tobytes() == states[-1].theta.tobytes()


@pytest.mark.catalogue(38)
@EACH
def test_minimize_ctrl_c_within_a_step_returns_result(method):
    f, theta0 = problem()

    def fail(value, gradient):
        raise KeyboardInterrupt

    failing = Failing(f, 8, fail)
    result = minimize(failing, theta0, method, 9, **({"batch_size": 8} if method == "sgd" else {}))
    assert result.interrupted and failing.count == [8]
    if method == "sgd":
        # the eighth evaluation was to be at the theta of the seventh step
        assert result.theta.tobytes() == failing.thetas[7].tobytes()
    else:
        assert f(result.theta) == result.f
    assert np.isfinite(result.theta).all()


@pytest.mark.catalogue(39)
def test_minimize_two_callers_one_network_same_bits():
    f, theta0 = problem(l=60, n_threads=2)
    alone = {
        method: minimize(f, theta0, method, 6, **options(method)) for method in ("lbfgs", "sgd")
    }
    found = {}

    def train(name):
        method, _ = name
        found[name] = minimize(f, theta0, method, 6, **options(method))

    on_threads(train, [(method, k) for method in ("lbfgs", "sgd") for k in range(2)])
    assert len(found) == 4
    for (method, _), result in found.items():
        assert result.theta.tobytes() == alone[method].theta.tobytes()
        assert [row["f"] for row in result.history] == [row["f"] for row in alone[method].history]


def options(method):
    return {"sgd": {"seed": 4, "batch_size": 16}, "newton": {"seed": 4}}.get(method, {})


@pytest.mark.catalogue(40)
@EACH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_minimize_same_seed_any_threads_same_bits(method, dtype):
    def train(seed, n_threads):
        # 600 images are several shards, and 300 are several of a batch
        f, _ = problem(dtype, l=600, n_threads=n_threads)
        more = {"sgd": {"seed": seed, "batch_size": 300}, "newton": {"seed": seed}}.get(method, {})
        return minimize(f, f.net.init(seed), method, 4, **more)

    first = train(11, 1)
    for again in (train(11, 1), train(11, 2), train(11, 3)):
        assert again.theta.tobytes() == first.theta.tobytes()
        assert [row["f"] for row in again.history] == [row["f"] for row in first.history]
    assert train(12, 1).theta.tobytes() != first.theta.tobytes()


@pytest.mark.catalogue(40)
@EACH
def test_threads_of_blas_do_not_change_the_bits(method):
    # theta is long enough for BLAS to share it out among its threads
    random = np.random.default_rng(2)
    net = Network((20, 20, 1), [Dense(100)])
    Z, y = random.standard_normal((24, 20, 20, 1)), random.integers(0, 100, 24)
    f, theta0 = Objective(net, Z, y, "softmax", 50, 1), net.init(0)
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            found.append(minimize(f, theta0, method, 8, **options(method)))
    assert found[0].theta.tobytes() == found[1].theta.tobytes()
    for name in ("f", "gradient_norm"):
        assert [row[name] for row in found[0].history] == [row[name] for row in found[1].history]


@pytest.mark.catalogue(40)
def test_sgd_without_seed_shuffles_differently():
    f, theta0 = problem()
    found = {minimize(f, theta0, "sgd", 1, batch_size=5).theta.tobytes() for _ in range(3)}
    assert len(found) == 3


@pytest.mark.catalogue(41)
@EACH
def test_minimize_images_change_uses_new_ones(method):
    f, theta0 = problem(n_threads=2)
    before = minimize(f, theta0, method, 6, **options(method))

    def change(state):
        f.Z[:] += 0.1

    result = minimize(f, theta0, method, 6, callback=change, **options(method))
    assert np.isfinite(result.theta).all() and len(result.history) == 6
    assert result.theta.tobytes() != before.theta.tobytes()


@pytest.mark.catalogue(42)
@pytest.mark.parametrize(
    ("n_threads", "error", "message"),
    [
        (0, ValueError, "n_threads must be from 1 to 1024, got 0"),
        (-1, ValueError, "n_threads must be from 1 to 1024, got -1"),
        (10**6, ValueError, "n_threads must be from 1 to 1024, got 1000000"),
        ("a", TypeError, r"n_threads must be an integer or None, got 'a' \(str\)"),
        (1.0, TypeError, r"n_threads must be an integer or None, got 1\.0 \(float\)"),
        (True, TypeError, r"n_threads must be an integer or None, got True \(bool\)"),
    ],
)
def test_n_threads_out_of_range_refused(n_threads, error, message):
    f, theta0 = problem()
    alive = threading.active_count()
    with pytest.raises(error, match=message):
        Objective(f.net, f.Z, f.Y, n_threads=n_threads)
    with pytest.raises(error, match=message):
        f.net.predict(theta0, f.Z, n_threads)
    with pytest.raises(error, match=message):
        ThreadEngine(n_threads)
    assert threading.active_count() == alive


@pytest.mark.catalogue(37)
def test_minimize_own_loss_not_finite_raises():
    class Broken(SoftmaxLoss):
        def value_and_gradient(self, z, y):
            value, gradient = super().value_and_gradient(z, y)
            return value, gradient * np.inf

    f, theta0 = problem(loss=Broken())
    with pytest.raises(TrainingError, match="^lbfgs: the gradient of f is not finite at theta0$"):
        minimize(f, theta0)
