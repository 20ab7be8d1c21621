"""minimize: L-BFGS against scipy's, stochastic gradient against its formulas, what both show."""

import io
import sys
import types

import numpy as np
import pytest
from scipy import optimize

from matconv import Conv, Dense, Network, Objective, minimize
from matconv.solvers import TrainingError
from matconv.solvers.schedules import SCHEDULES

C = 20.0


def small(dtype=np.float64, l=22, loss="softmax", n_threads=1):
    """A small problem: its objective and a theta to start from."""
    random = np.random.default_rng(7)
    net = Network((4, 4, 1), [Conv(3, 2), Dense(3)], dtype)
    Z = random.standard_normal((l, 4, 4, 1)).astype(dtype)
    y = random.integers(0, 3, l)
    return Objective(net, Z, y, loss, C, n_threads), net.init(1)


class Spy:
    """An objective that remembers every evaluation, whole or on a batch."""

    def __init__(self, objective, seen=None, indices=None):
        self.objective = objective
        self.net, self.l = objective.net, objective.l
        self.seen = [] if seen is None else seen
        self.indices = indices

    def value_and_gradient(self, theta):
        f, gradient = self.objective.value_and_gradient(theta)
        self.seen.append((theta.copy(), f, gradient.copy(), self.indices))
        return f, gradient

    def subset(self, indices):
        return Spy(self.objective.subset(indices), self.seen, np.array(indices))


def thetas_of(objective, theta0, method="lbfgs", iterations=4, **options):
    """theta after every iteration, and the result."""
    found = []
    result = minimize(
        objective,
        theta0,
        method,
        iterations,
        callback=lambda state: found.append(state.theta),
        **options,
    )
    return found, result


# L-BFGS


def test_lbfgs_is_scipys():
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


class Cliff:
    """f = -5 t - log(1 - t) / 100 + u^2 of theta = (t, u, 0, ...), undefined for t >= 1."""

    def __init__(self, beyond):
        self.net = small()[0].net
        self.beyond = beyond
        self.fell = 0

    def value_and_gradient(self, theta):
        t, u = theta[:2]
        gradient = np.zeros_like(theta)
        if t >= 1:
            self.fell += 1
            gradient[:] = self.beyond
            return self.beyond, gradient
        gradient[:2] = -5 + 0.01 / (1 - t), 2 * u
        return -5 * t - 0.01 * np.log(1 - t) + u * u, gradient


@pytest.mark.parametrize("beyond", [np.nan, np.inf, -np.inf])
def test_lbfgs_turns_back_where_f_is_not_finite(beyond):
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
def test_lbfgs_at_a_wall_has_not_converged(slope):
    f = Wall(slope)
    with pytest.raises(TrainingError, match="^lbfgs: f is nan at step 1$") as caught:
        minimize(f, np.zeros(f.net.n))
    assert not caught.value.result.theta.any() and caught.value.result.history == []


def test_lbfgs_forgets_what_it_turned_back_from():
    # one trial of step 1 is not finite; much later the gradient lies, so that no step helps
    class Lying(Spy):
        def value_and_gradient(self, theta):
            f, gradient = super().value_and_gradient(theta)
            if len(self.seen) == 2:
                return np.nan, gradient
            return f, -gradient if len(self.seen) > 12 else gradient

    f, theta0 = small()
    result = minimize(Lying(f), theta0, ftol=0, gtol=0)
    assert result.message == "the line search finds no lower f: the limit of the precision"
    assert result.iterations > 3 and f(result.theta) == result.f < f(theta0)


# stochastic gradient


def descend(f, theta0, epochs, batch_size, rate, momentum, seed, nesterov=False, factor=None):
    """The formulas of `sgd`, with the penalty's gradient theta / C added by hand."""
    plain = Objective(f.net, f.Z, f.Y, f.loss)
    theta, v = theta0.copy(), np.zeros_like(theta0)
    steps = epochs * -(-f.l // batch_size)
    step = 0
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(f.l)
        for first in range(0, f.l, batch_size):
            g = plain.subset(order[first : first + batch_size]).gradient(theta) + theta / C
            current = rate * (1 if factor is None else factor(step / steps))
            v = momentum * v - current * g
            theta = theta + (momentum * v - current * g if nesterov else v)
            step += 1
    return theta


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", lambda t: 1 / (1 + t)])
def test_sgd_is_its_formulas(schedule, nesterov):
    f, theta0 = small()
    factor = SCHEDULES.get(schedule, schedule)
    truth = descend(f, theta0, 4, 8, 0.05, 0.7, 3, nesterov, factor)
    result = minimize(
        f,
        theta0,
        "sgd",
        4,
        batch_size=8,
        learning_rate=0.05,
        momentum=0.7,
        nesterov=nesterov,
        schedule=schedule,
        seed=3,
    )
    np.testing.assert_allclose(result.theta, truth, rtol=1e-12, atol=1e-13)
    assert result.message == "4 epochs done" and not result.converged


def test_schedules():
    parts = (0.0, 0.25, 0.49, 0.5, 0.74, 0.75, 0.99)
    assert [SCHEDULES["constant"](t) for t in parts] == [1] * 7
    assert [SCHEDULES["step"](t) for t in parts] == [1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    np.testing.assert_allclose(
        [SCHEDULES["cosine"](t) for t in (0, 1 / 3, 0.5, 2 / 3)], [1, 0.75, 0.5, 0.25]
    )


def test_sgd_uses_every_image_once_in_an_epoch_and_shuffles():
    f, theta0 = small()
    spy = Spy(f)
    minimize(spy, theta0, "sgd", 3, batch_size=8, seed=0)
    batches = [indices for *_, indices in spy.seen]
    assert [len(batch) for batch in batches] == [8, 8, 6] * 3
    epochs = [np.concatenate(batches[k : k + 3]) for k in (0, 3, 6)]
    for order in epochs:
        assert sorted(order) == list(range(22))
    assert len({tuple(order) for order in epochs}) == 3


def test_sgd_history_is_the_mean_over_the_epoch():
    f, theta0 = small()
    spy = Spy(f)
    result = minimize(spy, theta0, "sgd", 2, batch_size=8, seed=0)
    for k, row in enumerate(result.history):
        epoch = spy.seen[3 * k : 3 * k + 3]
        weights = [len(indices) / 22 for *_, indices in epoch]
        mean = sum(w * value for w, (_, value, _, _) in zip(weights, epoch))
        gradient = sum(w * g for w, (_, _, g, _) in zip(weights, epoch))
        assert row["f"] == pytest.approx(mean, rel=1e-14)
        assert row["gradient_norm"] == pytest.approx(np.linalg.norm(gradient), rel=1e-13)
    assert result.f == result.history[-1]["f"]


def test_sgd_batch_over_all_images_is_gradient_descent():
    f, theta0 = small()
    result = minimize(f, theta0, "sgd", 1, batch_size=100, learning_rate=0.1, momentum=0)
    np.testing.assert_allclose(result.theta, theta0 - 0.1 * f.gradient(theta0), rtol=1e-12)
    assert result.history[0]["f"] == pytest.approx(f(theta0), rel=1e-14)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_sgd_goes_on_where_it_stopped(schedule):
    f, theta0 = small()
    options = {"batch_size": 8, "momentum": 0, "schedule": schedule, "seed": 5}
    whole = minimize(f, theta0, "sgd", 6, **options)

    def stop(state):
        if state.iteration == 2:
            raise StopIteration

    first = minimize(f, theta0, "sgd", 6, callback=stop, **options)
    assert first.iterations == 2 and first.message == "stopped by the callback"
    rest = minimize(f, first.theta, "sgd", 4, start=2, **options)
    assert rest.theta.tobytes() == whole.theta.tobytes()
    assert [row["iteration"] for row in rest.history] == [3, 4, 5, 6]
    assert rest.iterations == 6


def test_sgd_velocity_does_not_go_on():
    f, theta0 = small()
    options = {"batch_size": 8, "momentum": 0.9, "seed": 5}
    whole = minimize(f, theta0, "sgd", 4, **options)
    half = minimize(f, theta0, "sgd", 2, **options)
    rest = minimize(f, half.theta, "sgd", 2, start=2, **options)
    assert not np.array_equal(rest.theta, whole.theta)


# both


BOTH = pytest.mark.parametrize("method", ["lbfgs", "sgd"])


@BOTH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_f_decreases_and_theta_keeps_its_dtype(method, dtype):
    f, theta0 = small(dtype)
    before = theta0.copy()
    thetas, result = thetas_of(f, theta0, method, 10)
    assert f(result.theta) < 0.9 * f(theta0)
    assert result.theta.dtype == dtype and {theta.dtype for theta in thetas} == {np.dtype(dtype)}
    assert result.theta.tobytes() == thetas[-1].tobytes()
    assert theta0.tobytes() == before.tobytes()
    result.theta[:] = 0


@BOTH
def test_state_is_what_the_history_says_and_stays(method):
    f, theta0 = small()
    states, copies = [], []

    def callback(state):
        states.append(state)
        copies.append(state.theta.copy())
        with pytest.raises(ValueError, match="read-only"):
            state.theta[0] = 1

    result = minimize(f, theta0, method, 5, callback=callback)
    for k, (state, copy, row) in enumerate(zip(states, copies, result.history, strict=True)):
        assert (state.method, state.iteration) == (method, k + 1)
        assert (state.f, state.gradient_norm) == (row["f"], row["gradient_norm"])
        assert state.seconds == row["seconds"]
        assert state.theta.tobytes() == copy.tobytes()
    assert len({copy.tobytes() for copy in copies}) == 5


@BOTH
def test_callback_adds_to_the_history(method):
    f, theta0 = small()
    result = minimize(f, theta0, method, 3, callback=lambda state: {"double": 2 * state.iteration})
    assert [row["double"] for row in result.history] == [2, 4, 6]
    assert list(result.history[0]) == ["iteration", "f", "gradient_norm", "seconds", "double"]


@BOTH
@pytest.mark.parametrize("returned", [3, {"f": 1.0}, [("a", 1)]])
def test_callback_must_return_a_dict_of_new_keys(method, returned):
    f, theta0 = small()
    with pytest.raises(TypeError, match="callback must return None or a dict without the keys f, "):
        minimize(f, theta0, method, 3, callback=lambda state: returned)


@BOTH
def test_callback_stops(method):
    f, theta0 = small()

    def stop(state):
        if state.iteration == 2:
            raise StopIteration

    result = minimize(f, theta0, method, 9, callback=stop)
    assert result.message == "stopped by the callback"
    assert (result.iterations, result.converged, result.interrupted) == (2, False, False)
    assert (
        result.theta.tobytes() == minimize(f, theta0, method, 2).theta.tobytes() or method == "sgd"
    )
    assert len(result.history) == 2


@BOTH
def test_start_only_counts_on(method):
    f, theta0 = small()
    result = minimize(f, theta0, method, 2, start=5)
    assert [row["iteration"] for row in result.history] == [6, 7]
    assert result.iterations == 7


# the screen


@BOTH
def test_progress_is_plain_lines(method):
    f, theta0 = small()
    stream = io.StringIO()
    result = minimize(
        f,
        theta0,
        method,
        3,
        callback=lambda state: {"test_accuracy": 0.98765, "cost": 1.5, "name": "x"},
        progress=stream,
    )
    text = stream.getvalue()
    assert text.replace("\n", "").isprintable()
    heading, *lines = text.splitlines()
    assert heading.split() == [
        {"lbfgs": "iteration", "sgd": "epoch"}[method], "f", "|gradient|", "test", "accuracy", "cost", "name", "seconds",
    ]  # fmt: skip
    assert len(lines) == 3 and {len(line) for line in lines} == {len(heading)}
    for line, row in zip(lines, result.history):
        number, value, norm, percent, sign, cost, name, seconds = line.split()
        assert int(number) == row["iteration"]
        assert float(value) == pytest.approx(row["f"], rel=1e-5)
        assert float(norm) == pytest.approx(row["gradient_norm"], rel=1e-3)
        assert (percent, sign, cost, name) == ("98.77", "%", "1.5", "x")
        assert float(seconds) == pytest.approx(row["seconds"], abs=0.051)


def test_progress_true_is_standard_error(capsys):
    f, theta0 = small()
    minimize(f, theta0, max_iterations=2, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 3


def test_no_progress_is_silent(capsys):
    f, theta0 = small()
    minimize(f, theta0, max_iterations=2)
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_on_a_terminal_and_lines_beside_it(monkeypatch):
    made = []

    class Bar:
        def __init__(self, **options):
            self.options, self.parts, self.closed = options, 0, False
            made.append(self)

        def update(self):
            self.parts += 1

        def close(self):
            self.closed = True

        @staticmethod
        def external_write_mode(stream):
            made.append("cleared")
            return io.StringIO()

    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=Bar))
    monkeypatch.setattr(sys, "stderr", Terminal())
    f, theta0 = small()
    lines = io.StringIO()
    minimize(f, theta0, "sgd", 2, batch_size=8, progress=lines)
    bar = made[0]
    assert bar.options["total"] == bar.parts == 6 and bar.closed
    assert bar.options["file"] is sys.stderr
    assert made[1:] == ["cleared", "cleared"] and len(lines.getvalue().splitlines()) == 3


def test_no_bar_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    f, theta0 = small()
    minimize(f, theta0, max_iterations=2, progress=True)
    assert len(sys.stderr.getvalue().splitlines()) == 3


# errors


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "adam"}, ValueError, "method must be one of lbfgs, sgd, got 'adam'"),
        ({"max_iterations": 0}, ValueError, "max_iterations must be at least 1, got 0"),
        ({"max_iterations": 2.5}, TypeError, r"max_iterations must be an integer, got 2\.5"),
        ({"max_iterations": True}, TypeError, "max_iterations must be an integer, got True"),
        ({"start": -1}, ValueError, "start must be at least 0, got -1"),
        ({"callback": 3}, TypeError, "callback must be callable or None, got 3"),
        ({"batch_size": 8}, TypeError, "unexpected keyword argument 'batch_size'"),
        ({"memory": 0}, ValueError, "memory must be at least 1, got 0"),
        ({"gtol": -1.0}, ValueError, "gtol must be at least 0 and finite, got -1"),
        ({"ftol": "x"}, TypeError, r"ftol must be a number, got 'x' \(str\)"),
        ({"method": "sgd", "memory": 8}, TypeError, "unexpected keyword argument 'memory'"),
        ({"method": "sgd", "batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"method": "sgd", "batch_size": 1.5}, TypeError, "batch_size must be an integer"),
        ({"method": "sgd", "learning_rate": -1}, ValueError, "learning_rate must be at least 0"),
        ({"method": "sgd", "learning_rate": np.inf}, ValueError, "and finite, got inf"),
        ({"method": "sgd", "learning_rate": None}, TypeError, "learning_rate must be a number"),
        ({"method": "sgd", "momentum": 1}, ValueError, "momentum must be at least 0 and below 1"),
        ({"method": "sgd", "momentum": np.nan}, ValueError, "below 1, got nan"),
        ({"method": "sgd", "schedule": "linear"}, ValueError, "constant, cosine, step, got 'lin"),
        ({"method": "sgd", "schedule": 3}, TypeError, "a name or a function of t, got 3"),
        ({"method": "sgd", "seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"method": "sgd", "seed": "a"}, TypeError, r"seed must be an integer, got 'a' \(str\)"),
    ],
)
def test_options_out_of_range(options, error, message):
    f, theta0 = small()
    spy = Spy(f)
    with pytest.raises(error, match=message):
        minimize(spy, theta0, **options)
    assert spy.seen == []


@pytest.mark.catalogue(28)
def test_theta0_must_fit():
    f, theta0 = small()
    with pytest.raises(
        ValueError, match=f"{f.net.n} numbers, one per parameter, got {f.net.n - 1}"
    ):
        minimize(f, theta0[1:])
    with pytest.raises(TypeError, match="theta is float32, the network computes in float64"):
        minimize(f, theta0.astype(np.float32))


def test_training_error_is_arithmetic():
    assert issubclass(TrainingError, ArithmeticError)
