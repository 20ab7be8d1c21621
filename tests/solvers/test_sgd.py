"""Stochastic gradient: formulas, shuffles, schedules, and continuing a run."""

import numpy as np
import pytest
from support.minimizing import C, Spy
from support.tolerances import assert_within, rounding_bound

import matconv.solvers.sgd as sgd_module
from matconv import Objective, minimize
from matconv.engines import ThreadEngine
from matconv.kernels._guard import guarded
from matconv.kernels.sums import descend
from matconv.solvers.schedules import SCHEDULES
from matconv.solvers.shared import not_finite


def formulas(f, theta0, epochs, batch_size, rate, momentum, seed, nesterov=False, factor=None):
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
def test_sgd_steps_are_its_formulas(schedule, nesterov, small):
    f, theta0 = small()
    factor = SCHEDULES.get(schedule, schedule)
    truth = formulas(f, theta0, 4, 8, 0.05, 0.7, 3, nesterov, factor)
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
    assert_within(result.theta, truth, rounding_bound(100, 1 + np.abs(truth)))
    assert result.message == "4 epochs done" and not result.converged


def test_schedules():
    parts = (0.0, 0.25, 0.49, 0.5, 0.74, 0.75, 0.99)
    assert [SCHEDULES["constant"](t) for t in parts] == [1] * 7
    assert [SCHEDULES["step"](t) for t in parts] == [1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    factors = [SCHEDULES["cosine"](t) for t in (0, 1 / 3, 0.5, 2 / 3)]
    # pi t and the cosine are rounded
    assert_within(factors, [1, 0.75, 0.5, 0.25], rounding_bound(2, 1))


def test_sgd_uses_every_image_once_in_an_epoch_and_shuffles(small):
    f, theta0 = small()
    spy = Spy(f)
    minimize(spy, theta0, "sgd", 3, batch_size=8, seed=0)
    batches = [indices for *_, indices in spy.seen]
    assert [len(batch) for batch in batches] == [8, 8, 6] * 3
    epochs = [np.concatenate(batches[k : k + 3]) for k in (0, 3, 6)]
    for order in epochs:
        assert sorted(order) == list(range(22))
    assert len({tuple(order) for order in epochs}) == 3


def test_sgd_history_is_the_mean_over_the_epoch(small):
    f, theta0 = small()
    spy = Spy(f)
    result = minimize(spy, theta0, "sgd", 2, batch_size=8, seed=0)
    for k, row in enumerate(result.history):
        epoch = spy.seen[3 * k : 3 * k + 3]
        weights = [len(indices) / 22 for *_, indices in epoch]
        mean = sum(w * value for w, (_, value, _, _) in zip(weights, epoch))
        gradient = sum(w * g for w, (_, _, g, _) in zip(weights, epoch))
        size = sum(w * np.abs(g) for w, (_, _, g, _) in zip(weights, epoch))
        # a weight, a product and two additions, of both; then the sum of the norm
        assert_within(row["f"], mean, rounding_bound(4, mean))
        norm = np.linalg.norm(gradient)
        bound = rounding_bound(4, np.linalg.norm(size)) + rounding_bound(gradient.size, norm)
        assert_within(row["gradient_norm"], norm, bound)
    assert result.f == result.history[-1]["f"]


def test_sgd_batch_over_all_images_is_gradient_descent(small):
    f, theta0 = small()
    result = minimize(f, theta0, "sgd", 1, batch_size=100, learning_rate=0.1, momentum=0)
    expected = theta0 - 0.1 * f.gradient(theta0)
    assert_within(result.theta, expected, rounding_bound(100, expected))
    # the sum of 22 images in another order, all terms positive
    assert_within(result.history[0]["f"], f(theta0), rounding_bound(22 + 2, f(theta0)))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_sgd_start_continues_the_shuffles_and_schedule(schedule, small):
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


def test_sgd_start_begins_with_velocity_0(small):
    f, theta0 = small()
    options = {"batch_size": 8, "momentum": 0.9, "seed": 5}
    whole = minimize(f, theta0, "sgd", 4, **options)
    half = minimize(f, theta0, "sgd", 2, **options)
    rest = minimize(f, half.theta, "sgd", 2, start=2, **options)
    assert not np.array_equal(rest.theta, whole.theta)


def test_not_finite_despite_overflow_of_squares():
    wrong = "the gradient of f is not finite"
    cases = ([1e200, -1e200], None), ([1.0, np.nan], wrong), ([np.inf], wrong)
    for values, expected in cases:
        # as in `minimize`: overflow is no warning
        assert guarded(not_finite, 1.0, np.array(values)) == expected


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_descent_move_has_the_bits_of_its_formula_across_pieces(nesterov, dtype):
    random = np.random.default_rng(3)
    n = 2 * sgd_module.PIECE + 5
    theta, velocity, g = random.standard_normal((3, n)).astype(dtype)
    total = random.standard_normal(n)
    for n_threads in (1, 2, 5):
        descent = sgd_module._Descent(theta, 0.9, nesterov, ThreadEngine(n_threads))
        descent._velocity[:] = velocity
        mean = total.copy()
        new = descent.move(g, 0.3, mean, 0.7)
        v = 0.9 * velocity + -0.3 * g
        np.testing.assert_array_equal(new, theta + (-0.3 * g + 0.9 * v if nesterov else v))
        np.testing.assert_array_equal(descent._velocity, v)
        np.testing.assert_array_equal(descent.before, theta)
        np.testing.assert_array_equal(mean, total + g * dtype(0.7))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_descend_without_velocity_in_place_is_its_formula(dtype):
    theta, g = np.random.default_rng(4).standard_normal((2, 3001)).astype(dtype)
    expected = theta + dtype(-0.3) * g
    descend(theta, g, theta, 0.3)
    np.testing.assert_array_equal(theta, expected)
