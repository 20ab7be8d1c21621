"""minimize with each kind of method: history, callback, progress, options."""

import io
import sys
import types

import numpy as np
import pytest
from support.minimizing import Spy, thetas_of

from matconv import minimize
from matconv.solvers import METHODS, TrainingError

# one of each kind: of SciPy's methods one that moves in every iteration
EACH = pytest.mark.parametrize("method", ["lbfgs", "sgd", "newton", "Newton-CG"])


def seed(method):
    return {"seed": 3} if "seed" in METHODS[method].names else {}


@EACH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_f_decreases_and_theta_keeps_its_dtype(method, dtype, small):
    f, theta0 = small(dtype)
    before = theta0.copy()
    thetas, result = thetas_of(f, theta0, method, 10)
    assert f(result.theta) < 0.9 * f(theta0)
    assert result.theta.dtype == dtype and {theta.dtype for theta in thetas} == {np.dtype(dtype)}
    assert result.theta.tobytes() == thetas[-1].tobytes()
    assert theta0.tobytes() == before.tobytes()
    result.theta[:] = 0


@EACH
def test_state_agrees_with_the_history_and_is_not_changed(method, small):
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
        assert state.details == {name: row[name] for name in METHODS[method].history}
        assert state.theta.tobytes() == copy.tobytes()
    assert len({copy.tobytes() for copy in copies}) == 5


@EACH
def test_callback_adds_to_the_history(method, small):
    f, theta0 = small()
    result = minimize(f, theta0, method, 3, callback=lambda state: {"double": 2 * state.iteration})
    assert [row["double"] for row in result.history] == [2, 4, 6]
    own = ["iteration", "f", "gradient_norm", "seconds", *METHODS[method].history]
    assert list(result.history[0]) == [*own, "double"]


@EACH
@pytest.mark.parametrize("returned", [3, {"f": 1.0}, [("a", 1)]])
def test_callback_must_return_a_dict_of_new_keys(method, returned, small):
    f, theta0 = small()
    message = "callback must return None or a dict without the keys .*f, gradient_norm, iteration, "
    with pytest.raises(TypeError, match=message):
        minimize(f, theta0, method, 3, callback=lambda state: returned)


@EACH
def test_callback_stops(method, small):
    f, theta0 = small()

    def stop(state):
        if state.iteration == 2:
            raise StopIteration

    result = minimize(f, theta0, method, 9, callback=stop, **seed(method))
    assert result.message == "stopped by the callback"
    assert (result.iterations, result.converged, result.interrupted) == (2, False, False)
    two = minimize(f, theta0, method, 2, **seed(method))
    # the schedule of sgd depends on the number of epochs
    assert result.theta.tobytes() == two.theta.tobytes() or method == "sgd"
    assert len(result.history) == 2


@EACH
def test_minimize_start_continues_the_count(method, small):
    f, theta0 = small()
    result = minimize(f, theta0, method, 2, start=5)
    assert [row["iteration"] for row in result.history] == [6, 7]
    assert result.iterations == 7


# the screen


@EACH
def test_progress_is_plain_lines(method, small):
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
        METHODS[method].iteration, "f", "|gradient|", "test", "accuracy", "cost", "name", "seconds",
    ]  # fmt: skip
    assert len(lines) == 3 and {len(line) for line in lines} == {len(heading)}
    for line, row in zip(lines, result.history):
        number, value, norm, percent, sign, cost, name, seconds = line.split()
        assert int(number) == row["iteration"]
        assert value == f"{row['f']:#.6g}"
        assert norm == f"{row['gradient_norm']:#.4g}"
        assert (percent, sign, cost, name) == ("98.77", "%", "1.5", "x")
        assert seconds == f"{row['seconds']:.1f}"


def test_progress_true_is_standard_error(capsys, small):
    f, theta0 = small()
    minimize(f, theta0, max_iterations=2, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 3


def test_minimize_without_progress_is_silent(capsys, small):
    f, theta0 = small()
    minimize(f, theta0, max_iterations=2)
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_on_a_terminal_and_lines_beside_it(monkeypatch, small):
    made = []

    class Bar:
        def __init__(self, **options):
            self.options, self.parts, self.closed = options, 0, False
            made.append(self)

        def update(self):
            self.parts += 1

        def close(self):
            self.closed = True

        def clear(self):
            made.append("cleared")

        def refresh(self):
            made.append("shown")

    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=Bar))
    monkeypatch.setattr(sys, "stderr", Terminal())
    f, theta0 = small()
    lines = io.StringIO()
    minimize(f, theta0, "sgd", 2, batch_size=8, progress=lines)
    bar = made[0]
    assert bar.options["total"] == bar.parts == 6 and bar.closed
    assert bar.options["file"] is sys.stderr
    assert made[1:] == ["cleared", "shown"] * 2 and len(lines.getvalue().splitlines()) == 3


@pytest.mark.parametrize("fails", ["__init__", "update", "clear", "refresh", "close"])
def test_bar_terminal_error_drops_the_bar(monkeypatch, fails, small):
    class Bar:
        monitor_interval = 10

        def __init__(self, **options):
            assert self.monitor_interval == 0  # no thread that waits for tqdm's lock at the end
            if fails == "__init__":
                raise OSError(5, "Input/output error")

        def __getattr__(self, name):
            if name == fails:
                raise OSError(5, "Input/output error")
            return lambda: None

    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=Bar))
    monkeypatch.setattr(sys, "stderr", Terminal())
    f, theta0 = small()
    lines = io.StringIO()
    result = minimize(f, theta0, "sgd", 2, batch_size=8, progress=lines)
    assert result.iterations == 2 and len(lines.getvalue().splitlines()) == 3


@EACH
def test_on_step_sees_whole_steps(method, small):
    f, theta0 = small()
    seen = []
    options = {"batch_size": 8} if method == "sgd" else {}

    def on_step(run):
        result = run.result("on the way")
        assert result.message == "on the way" and not result.interrupted
        seen.append((result.iterations, result.theta.tobytes(), result.f))

    result = minimize(f, theta0, method, 3, on_step=on_step, start=4, **options)
    last = (7, result.theta.tobytes(), result.f)
    assert seen[-1] == last
    distinct = list(dict.fromkeys((iterations, theta) for iterations, theta, _ in seen))
    if method != "sgd":
        assert [iterations for iterations, _ in distinct] == [5, 6, 7]
        for _, theta, value in seen:
            assert f(np.frombuffer(theta)) == value
    else:
        # three batches: the theta after the third is seen once more at the end of the epoch
        assert len({theta for _, theta in distinct}) == 9
        assert [k for k, _ in distinct].count(5) == 3 and distinct[0][0] == 4
        # the mean over the first epoch as far as it went
        assert np.isfinite(seen[0][2])
    assert theta0.tobytes() not in {theta for _, theta, _ in seen}


@EACH
def test_on_step_exception_carries_the_result(method, small):
    f, theta0 = small()

    def on_step(run):
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full") as caught:
        minimize(f, theta0, method, 3, on_step=on_step)
    assert caught.value.result.theta.tobytes() != theta0.tobytes()


@EACH
def test_on_step_interrupt_keeps_the_step(method, small):
    f, theta0 = small()
    seen = []

    def on_step(run):
        seen.append(run.theta.copy())
        if len(seen) == 3:
            raise KeyboardInterrupt

    result = minimize(f, theta0, method, 5, on_step=on_step)
    assert result.interrupted and result.theta.tobytes() == seen[-1].tobytes()


def test_progress_without_tqdm_has_no_bar(monkeypatch, small):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    f, theta0 = small()
    minimize(f, theta0, max_iterations=2, progress=True)
    assert len(sys.stderr.getvalue().splitlines()) == 3


# errors


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "adam"}, ValueError, f"method must be one of {', '.join(METHODS)}, got 'adam'"),
        ({"max_iterations": 0}, ValueError, "max_iterations must be at least 1, got 0"),
        ({"max_iterations": 2.5}, TypeError, r"max_iterations must be an integer, got 2\.5"),
        ({"max_iterations": True}, TypeError, "max_iterations must be an integer, got True"),
        ({"start": -1}, ValueError, "start must be at least 0, got -1"),
        ({"callback": 3}, TypeError, "callback must be callable or None, got 3"),
        ({"on_step": 3}, TypeError, "on_step must be callable or None, got 3"),
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
def test_options_out_of_range(options, error, message, small):
    f, theta0 = small()
    spy = Spy(f)
    with pytest.raises(error, match=message):
        minimize(spy, theta0, **options)
    assert spy.seen == []


@pytest.mark.catalogue(28)
def test_minimize_wrong_theta0_refused(small):
    f, theta0 = small()
    with pytest.raises(
        ValueError, match=f"{f.net.n} elements, one for each parameter, got {f.net.n - 1}"
    ):
        minimize(f, theta0[1:])
    with pytest.raises(TypeError, match="theta is float32, the network computes in float64"):
        minimize(f, theta0.astype(np.float32))


def test_training_error_is_arithmetic():
    assert issubclass(TrainingError, ArithmeticError)
