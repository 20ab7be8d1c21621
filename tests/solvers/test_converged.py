"""Results of a minimisation before its first iteration ends: f is there once it is computed."""

import json
import math

import numpy as np
import pytest
from support.cli_runs import write_small
from support.minimizing import small

from matconv import Dense, Network, Objective, load_model, minimize
from matconv.cli import main
from matconv.solvers import TrainingError
from matconv.solvers.run import Run


def at_optimum(dtype=np.float64):
    """Two equal images of different classes: theta = 0 is the minimum, where f is log 2."""
    net = Network((1, 1, 1), [Dense(2)], dtype)
    Z = np.ones((2, 1, 1, 1), dtype)
    return Objective(net, Z, np.array([0, 1]), "softmax", C=1), np.zeros(net.n, dtype)


class Counting:
    """An objective that raises, or changes what it returns, at evaluation number ``at``."""

    def __init__(self, objective, at, change, count=None):
        self.objective, self.at, self.change = objective, at, change
        self.net, self.l = objective.net, objective.l
        self.count = [0] if count is None else count

    def value_and_gradient(self, theta):
        self.count[0] += 1
        found = self.objective.value_and_gradient(theta)
        return self.change(*found) if self.count[0] >= self.at else found

    def subset(self, indices):
        return Counting(self.objective.subset(indices), self.at, self.change, self.count)


def interrupt(f, gradient):
    raise KeyboardInterrupt


@pytest.mark.catalogue(74)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("start", [0, 5])
def test_lbfgs_from_an_optimum_returns_f_and_no_iteration(dtype, start):
    f, theta0 = at_optimum(dtype)
    states = []
    result = minimize(f, theta0, callback=states.append, start=start)
    assert (
        result.converged and result.message == "every entry of the gradient is within gtol = 1e-05"
    )
    assert result.f == f(theta0) and abs(result.f - math.log(2)) < 1e-6
    assert result.gradient_norm == np.linalg.norm(f.gradient(theta0)) <= 2e-5
    assert (result.history, result.iterations, states) == ([], start, [])
    assert result.theta.tobytes() == theta0.tobytes()
    assert not np.shares_memory(result.theta, theta0)


@pytest.mark.catalogue(74)
def test_lbfgs_resumed_where_it_converged_returns_the_same_f():
    f, theta0 = small()
    first = minimize(f, theta0, max_iterations=500, gtol=1e-2, ftol=0)
    assert first.converged and first.f == f(first.theta) == first.history[-1]["f"]
    again = minimize(f, first.theta, gtol=1e-2, ftol=0)
    assert again.converged and again.history == []
    assert (again.f, again.gradient_norm) == (first.f, first.gradient_norm)


@pytest.mark.catalogue(74)
def test_sgd_from_an_optimum_stays_there():
    f, theta0 = at_optimum()
    result = minimize(f, theta0, "sgd", 3)
    assert (result.iterations, len(result.history), result.converged) == (3, 3, False)
    assert result.f == result.history[-1]["f"] == f(theta0)
    assert result.gradient_norm == result.history[-1]["gradient_norm"] == 0
    assert result.theta.tobytes() == theta0.tobytes()


def test_lbfgs_without_a_lower_f_returns_f_at_the_start():
    f, theta0 = small()
    wrong = Counting(f, 1, lambda value, gradient: (value, -gradient))
    result = minimize(wrong, theta0)
    assert result.message == "the line search finds no lower f: the limit of the precision"
    assert result.history == [] and not result.converged
    assert result.f == f(theta0)
    assert result.gradient_norm == np.linalg.norm(f.gradient(theta0))


@pytest.mark.catalogue(38)
def test_lbfgs_interrupted_in_its_first_iteration_returns_f_at_the_start():
    f, theta0 = small()
    result = minimize(Counting(f, 2, interrupt), theta0)
    assert result.interrupted and result.history == [] and result.f == f(theta0)
    result = minimize(Counting(f, 1, interrupt), theta0)
    assert result.interrupted and math.isnan(result.f) and math.isnan(result.gradient_norm)


@pytest.mark.catalogue(38)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_lbfgs_interrupted_between_step_and_record_returns_f_of_its_theta(at, monkeypatch):
    f, theta0 = small()
    recorded, iterate = [], Run.iterate

    def interrupted(run, value, norm):
        recorded.append(value)
        if len(recorded) == at:
            raise KeyboardInterrupt
        return iterate(run, value, norm)

    monkeypatch.setattr(Run, "iterate", interrupted)
    result = minimize(f, theta0)
    assert result.interrupted and len(result.history) == at - 1
    assert result.f == recorded[-1] == f(result.theta)
    assert result.gradient_norm == np.linalg.norm(f.gradient(result.theta))


@pytest.mark.catalogue(38)
def test_sgd_interrupted_in_its_first_epoch_returns_the_mean_so_far():
    f, theta0 = small(l=22)
    found = []

    def remember(value, gradient):
        found.append(value)
        if len(found) == 3:
            raise KeyboardInterrupt
        return value, gradient

    result = minimize(Counting(f, 1, remember), theta0, "sgd", batch_size=8, seed=0)
    assert result.interrupted and result.history == [] and result.iterations == 0
    assert result.f == (8 * found[0] + 8 * found[1]) / 16
    assert math.isnan(result.gradient_norm)


@pytest.mark.catalogue(37)
def test_not_finite_in_the_first_iteration_keeps_f_of_the_start():
    f, theta0 = small()
    failing = Counting(f, 2, lambda value, gradient: (np.nan, gradient))
    with pytest.raises(TrainingError, match="^lbfgs: f is nan at step 1$") as caught:
        minimize(failing, theta0)
    assert caught.value.result.f == f(theta0) and caught.value.result.history == []


@pytest.mark.catalogue(74)
def test_resume_of_a_converged_model_saves_f(tmp_path, monkeypatch, capsys):
    write_small(tmp_path)
    monkeypatch.chdir(tmp_path)
    first = ("train", "--data", "small.npz", "--network", "small.toml", "--C", "0.001")
    assert main([*first, "--output", "0.npz"]) == 0
    for k in range(9):
        assert main(["train", "--resume", f"{k}.npz", "--output", f"{k + 1}.npz"]) == 0
        before, after = (load_model(f"{name}.npz").training for name in (k, k + 1))
        if after["iterations"] == before["iterations"]:
            break
    assert after["iterations"] == before["iterations"] == len(after["history"])
    assert after["message"] == "every entry of the gradient is within gtol = 1e-05"
    assert after["f"] == before["f"] and math.isfinite(after["f"])
    json.dumps(after, allow_nan=False)
    assert "ended" in capsys.readouterr().out
