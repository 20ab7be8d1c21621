"""Gradients of single images, their norms, and the diagonal of the Gauss-Newton matrix."""

import numpy as np
import pytest
from support.python_losses import SquaredError
from support.random_graphs import random_graph
from support.second_order import (
    CurvedError,
    assert_close,
    for_threads,
    labelled,
    positions,
    problem,
    recorded,
)

from matconv import Objective
from matconv.losses import LOSSES, SquaredLoss

DTYPES = ["float64", "float32"]
# sums of the same terms in another order
RELATIVE = {"float64": 1e-13, "float32": 1e-13 * 2.0**29}


class FactoredError(CurvedError):
    """SquaredError with its Hessian and a factor of it."""

    def factor(self, z, y):
        return np.broadcast_to(np.sqrt(2) * np.eye(z.shape[1]), (*z.shape, z.shape[1]))


def assert_same(actual, expected, dtype="float64"):
    assert_close(actual, expected, RELATIVE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_random_graphs_have_the_mean_gradient(dtype):
    nonzero = 0
    for seed in range(40):
        f, theta, *_ = problem(random_graph(seed, dtype), seed=seed)
        rows, gradient = f.gradients(theta), f.gradient(theta)
        assert rows.shape == (f.l, f.net.n) and rows.dtype == dtype
        # 0 where the output does not depend on parameters
        if gradient.any() or rows.any():
            assert_same(rows.mean(axis=0), gradient, dtype)
            nonzero += 1
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
        # elements of the rows are rounded to the dtype
        bound = 1e-14 * f.net.n + np.finfo(dtype).eps
        np.testing.assert_allclose(f.gradient_norms(theta), norms, rtol=bound)
    assert nonzero > 30


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_objectives_of_single_images(loss):
    f, theta, _ = labelled()
    net, Z, y = f.net, f.Z, np.where(np.arange(9) == 4, -1, f.Y)
    f = Objective(net, Z, y, loss, C=3.0, weights=np.arange(9.0))
    rows = f.gradients(theta, [5, 4, 2, 2])
    assert not rows[1].any()
    for k, image in enumerate((5, 4, 2, 2)):
        if k != 1:
            one = slice(image, image + 1)
            gradient = Objective(net, Z[one], y[one], loss).gradient(theta)
            if gradient.any() or rows[k].any():  # not 0, as beyond the margin of a hinge
                assert_same(rows[k], gradient)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_in_python_gives_the_gradients_of_the_compiled_one(dtype):
    one, theta, _ = labelled(SquaredLoss(), dtype)
    other = labelled(FactoredError(), dtype)[0]
    assert_same(other.gradients(theta), one.gradients(theta), dtype)
    assert_same(other.gauss_newton_diagonal(theta), one.gauss_newton_diagonal(theta), dtype)


def test_positions_of_an_image_have_the_gradient_of_their_sum():
    f, theta, _ = positions(C=7.0)
    mean = f.gradients(theta).sum(axis=0) / (f.Y >= 0).sum()
    assert_same(mean + theta / 7, f.gradient(theta))
    diagonal = np.diag(f.linearize(theta).gauss_newton(np.eye(f.net.n)))
    assert_same(f.gauss_newton_diagonal(theta), diagonal)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["squared", "softmax", "logistic", "huber", "squared_hinge"])
def test_diagonal_is_that_of_gauss_newton_products(loss, dtype):
    weights = np.array([1.0, 2.0, 0.0] * 3)
    f, theta, _ = labelled(loss, dtype, C=2.0, weights=weights, penalty={"biases": 0.5})
    for objective in (f, f.subset([3, 1, 0, 0])):
        diagonal = np.diag(objective.linearize(theta).gauss_newton(np.eye(f.net.n, dtype=dtype)))
        assert_same(objective.gauss_newton_diagonal(theta), diagonal, dtype)


def test_gradients_are_those_of_simplenn():
    data, f = recorded("squared")
    rows = f.gradients(data["theta"])
    assert_same(rows, data["per_image"])
    norms = np.linalg.norm(data["per_image"], axis=1)
    np.testing.assert_allclose(f.gradient_norms(data["theta"]), norms, rtol=1e-13)


def test_diagonal_is_that_of_simplenn_and_pytorch():
    data, f = recorded("squared")
    C = float(data["C"])
    found = (f.gauss_newton_diagonal(data["theta"]) - 1 / C) * len(data["Z"])
    assert_same(found, data["diagG_sum"])
    data, f = recorded("softmax")
    assert_same(f.gauss_newton_diagonal(data["theta"]), data["torch_diagG_softmax"])


def test_diagonal_of_a_loss_without_curvature_is_that_of_the_regularisation():
    f, theta, _ = labelled("absolute", C=4.0)
    np.testing.assert_array_equal(f.gauss_newton_diagonal(theta), np.full(f.net.n, 0.25))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("l", [2, 300])
def test_results_have_the_same_bits_for_any_number_of_threads(l, dtype, mixed):
    (given, theta, *_), found = for_threads(l, "softmax", dtype, mixed), set()
    for n_threads in (1, 2, 3, 5, 8):
        f = Objective(*given, C=10.0, n_threads=n_threads)
        results = (
            f.gradients(theta, range(0, l, 7)), f.gradient_norms(theta),
            f.gauss_newton_diagonal(theta),
        )  # fmt: skip
        assert all(np.isfinite(x).all() and x.any() for x in results)
        found.add(tuple(x.tobytes() for x in results))
    assert len(found) == 1


def test_loss_without_factor_is_refused():
    f, theta, _ = labelled(SquaredError())
    message = "SquaredError has no method factor, which second-order products need"
    with pytest.raises(TypeError, match=message):
        f.gauss_newton_diagonal(theta)


def test_bad_arguments_are_refused():
    f, theta, _ = labelled()
    with pytest.raises(ValueError, match="Objective: indices must be from 0 to 8, got 9 to 9"):
        f.gradients(theta, [9])
    for method in (f.gradients, f.gradient_norms, f.gauss_newton_diagonal):
        with pytest.raises(ValueError, match="theta"):
            method(theta[:-1])
