"""Objective: f as the notes define it, its gradient, and equal bits on any number of threads."""

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import minimize
from support.networks import images
from support.threads import on_threads
from support.tolerances import assert_slope, assert_within, rounding_bound

from matconv import Conv, Dense, Network, Objective
from matconv.data import load_digits
from matconv.losses import SoftmaxLoss, SquaredLoss

LOSSES = ("squared", "softmax")


def test_objective_small_network_equals_hand_computation():
    """f = theta'theta/(2C) + (1/l) sum_i ||z^i - y^i||^2, on integers: exact."""
    net = Network((1, 1, 2), [Dense(2)])
    theta = net.pack([(np.array([[1.0, 2], [3, 4]]), np.array([1.0, -1]))])
    Z = np.array([[1.0, 1], [2, 0]]).reshape(2, 1, 1, 2)
    # z = (1+3+1, 2+4-1) = (5, 5) and (3, 3); one-hot 0 and 1: xi = 16+25 and 9+4
    # theta'theta = 1+4+9+16+1+1 = 32
    f = Objective(net, Z, np.array([0, 1]), C=4)
    assert f(theta) == 32 / 8 + (41 + 13) / 2
    value, gradient = f.value_and_gradient(theta)
    assert value == f(theta)
    # d xi/dz = 2(z - y) = (8, 10), (6, 4); dW = sum z_in dz'/l, db = sum dz/l, plus theta/C
    expected = np.array([(8 + 12) / 2, (10 + 8) / 2, 4, 5, 7, 7]) + theta / 4
    np.testing.assert_array_equal(gradient, expected)


def naive_xi(loss, z, y):
    if loss == "squared":
        return sum((z[j] - (j == y)) ** 2 for j in range(len(z)))
    return np.log(sum(np.exp(z[j]) for j in range(len(z)))) - z[y]


@pytest.mark.parametrize("loss", LOSSES)
def test_f_is_the_mean_over_all_images_also_when_the_last_shard_is_smaller(loss, mixed):
    net = mixed()
    theta = net.init(0)
    Z, y = images(net, net.shard_size + 3)
    f = Objective(net, Z, y, loss, C=2.5)
    z = net.forward(theta, Z)
    xi = [naive_xi(loss, z[i], y[i]) for i in range(len(Z))]
    expected = sum(t * t for t in theta) / 5 + sum(xi) / len(Z)
    # sums of n non-negative numbers in two orders, and logarithms good to a few eps
    assert_within(f(theta), expected, rounding_bound(2 * (net.n + len(Z)), expected))


@pytest.mark.parametrize("C", [np.inf, 3.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_the_central_difference(loss, C, mixed):
    """Along random directions: h = 1e-5 leaves an error of order h^2 and eps/h, 1e-10 here."""
    net = mixed()
    Z, y = images(net, 40)
    f = Objective(net, Z, y, loss, C)
    random = np.random.default_rng(1)
    theta = net.init(0) + 0.01 * random.standard_normal(net.n)
    gradient = f.gradient(theta)
    for _ in range(5):
        direction = random.standard_normal(net.n)
        direction /= np.linalg.norm(direction)
        h = 1e-5
        slope = (f(theta + h * direction) - f(theta - h * direction)) / (2 * h)
        assert_slope(slope, gradient @ direction, np.linalg.norm(gradient))


def test_gradient_each_entry_is_central_difference(algorithm):
    net = Network((5, 4, 1), [Conv(2, 3, pad=1, activation="relu"), Dense(3)], algorithm=algorithm)
    Z, y = images(net, 6)
    f = Objective(net, Z, y, "softmax", C=1)
    theta = net.init(2)
    gradient = f.gradient(theta)
    h = 1e-5
    for k in range(net.n):
        step = np.zeros(net.n)
        step[k] = h
        slope = (f(theta + step) - f(theta - step)) / (2 * h)
        assert_slope(slope, gradient[k], np.linalg.norm(gradient))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", LOSSES)
def test_same_bits_for_any_threads_and_layout(loss, dtype, tmp_path, mixed):
    net = mixed(dtype)
    theta = net.init(0)
    Z, y = images(net, 3 * net.shard_size + 5)
    value, gradient = Objective(net, Z, y, loss, C=10, n_threads=1).value_and_gradient(theta)
    assert gradient.dtype == dtype and np.isfinite(gradient).all()

    path = tmp_path / "Z.npy"
    np.save(path, Z)
    read_only = Z.copy()
    read_only.flags.writeable = False
    layouts = {
        "contiguous": Z,
        "strided": np.repeat(Z, 2, axis=2)[:, :, ::2],
        "reversed": np.ascontiguousarray(Z[::-1])[::-1],
        "mapped": np.load(path, mmap_mode="r"),
        "read-only": read_only,
        "swapped": Z.astype(Z.dtype.newbyteorder()),
    }
    for name, layout in layouts.items():
        for n_threads in (1, 2, 5):
            f = Objective(net, layout, y, loss, C=10, n_threads=n_threads)
            again, gradient_again = f.value_and_gradient(theta)
            assert again == value == f(theta), (name, n_threads)
            np.testing.assert_array_equal(gradient_again, gradient, err_msg=name)


@pytest.mark.parametrize("K", [450, 500, 576])
def test_same_bits_for_any_threads_at_sizes_where_blas_splits(K):
    net = Network((1, 1, K), [Dense(K, activation="relu"), Dense(4)])
    theta = net.init(0)
    Z, y = images(net, 2 * net.shard_size)
    one = Objective(net, Z, y, "softmax", n_threads=1).value_and_gradient(theta)
    two = Objective(net, Z, y, "softmax", n_threads=2).value_and_gradient(theta)
    assert one[0] == two[0]
    np.testing.assert_array_equal(one[1], two[1])


def test_lenet_same_bits_for_one_and_two_threads(lenet):
    net = lenet()
    theta = net.init(0)
    Z, y = images(net, 2 * net.shard_size + 1)
    one = Objective(net, Z, y, "softmax", n_threads=1).value_and_gradient(theta)
    two = Objective(net, Z, y, "softmax", n_threads=2).value_and_gradient(theta)
    assert one[0] == two[0]
    np.testing.assert_array_equal(one[1], two[1])


def test_subset_is_the_objective_on_those_images(mixed):
    net = mixed()
    theta = net.init(0)
    Z, y = images(net, 50)
    f = Objective(net, Z, y, "softmax", C=7)
    chosen = np.array([3, 49, 3, 0, 17])
    value, gradient = f.subset(chosen).value_and_gradient(theta)
    expected = Objective(net, Z[chosen], y[chosen], "softmax", C=7).value_and_gradient(theta)
    assert value == expected[0] and f.subset(chosen).l == 5
    np.testing.assert_array_equal(gradient, expected[1])
    assert f.subset(slice(10, 20)).value(theta) == f.subset(np.arange(10, 20)).value(theta)
    nested = f.subset(chosen).subset([1, 4])
    assert nested.value(theta) == f.subset([49, 17]).value(theta)


def test_outputs_are_what_forward_gives(mixed):
    net = mixed()
    theta = net.init(0)
    Z, y = images(net, 20)
    f = Objective(net, Z, y)
    np.testing.assert_array_equal(f.outputs(theta), net.forward(theta, Z))
    np.testing.assert_array_equal(f.subset([7, 2]).outputs(theta), net.forward(theta, Z)[[7, 2]])


def test_targets_as_rows_equal_targets_as_labels(mixed):
    net = mixed()
    theta = net.init(0)
    Z, y = images(net, 30)
    rows = np.eye(3)[y]
    for loss in LOSSES:
        by_label = Objective(net, Z, y, loss).value_and_gradient(theta)
        by_row = Objective(net, Z, rows, loss).value_and_gradient(theta)
        # xi adds two zeros more; each sum has at most 30 * 3 terms
        for row, label in zip(by_row, by_label):
            assert_within(row, label, rounding_bound(180, np.abs(label).max()), loss)


def test_objective_user_loss_value_and_gradient():
    class Absolute(SquaredLoss):
        def value(self, z, y):
            return float(np.abs(self._residual(z, y)).sum())

        def value_and_gradient(self, z, y):
            return self.value(z, y), np.sign(self._residual(z, y))

    net = Network((1, 1, 2), [Dense(2)])
    theta = net.pack([(np.eye(2), np.zeros(2))])
    f = Objective(net, np.array([3.0, -4.0]).reshape(1, 1, 1, 2), [1], Absolute())
    assert f(theta) == 3 + 5
    np.testing.assert_array_equal(f.gradient(theta), [3, -3, -4, 4, 1, -1])


def test_value_and_gradient_minimized_by_scipy(algorithm):
    digits = load_digits()
    net = Network((8, 8, 1), [Conv(4, 3, activation="relu"), Dense(10)], algorithm=algorithm)
    f = Objective(net, digits.Z_train[:200], digits.y_train[:200], "softmax", C=100)
    theta = net.init(0)
    result = minimize(
        f.value_and_gradient, theta, jac=True, method="L-BFGS-B", options={"maxiter": 15}
    )
    assert result.fun < 0.5 * f(theta)
    assert result.fun == f(result.x)


def test_objective_shared_by_threads_gives_same_bits(mixed):
    net = mixed()
    Z, y = images(net, 2 * net.shard_size)
    f = Objective(net, Z, y, "softmax", n_threads=2)
    thetas = [net.init(seed) for seed in range(4)]
    expected = [f.value_and_gradient(theta) for theta in thetas]
    wrong = []

    def work(k):
        for _ in range(5):
            value, gradient = f.value_and_gradient(thetas[k])
            if value != expected[k][0] or (gradient != expected[k][1]).any():
                wrong.append(k)

    on_threads(work, range(4))
    assert wrong == []


def test_softmax_is_stable_and_nan_stays_nan():
    loss = SoftmaxLoss()
    value, gradient = loss.value_and_gradient(np.array([[1e4, -1e4]]), np.array([1]))
    assert value == 2e4
    np.testing.assert_array_equal(gradient, [[1, -1]])
    net = Network((1, 1, 2), [Dense(2)])
    theta = net.pack([(np.full((2, 2), np.nan), np.zeros(2))])
    for name in LOSSES:
        value, gradient = Objective(net, np.ones((1, 1, 1, 2)), [0], name).value_and_gradient(theta)
        assert np.isnan(value) and np.isnan(gradient).all()


def test_objective_inputs_unchanged(mixed):
    net = mixed()
    theta = net.init(0)
    Z, y = images(net, 20)
    before = theta.tobytes(), Z.tobytes(), y.tobytes()
    f = Objective(net, Z, y, "softmax", C=3)
    f.value_and_gradient(theta)
    f(theta)
    assert (theta.tobytes(), Z.tobytes(), y.tobytes()) == before


def test_memory_beyond_Z_does_not_grow_with_the_images(mixed):
    net = mixed()
    theta = net.init(0)
    peaks, sizes = [], []
    # the first round also loads what is loaded once
    for count in (1, 4, 40):
        Z, y = images(net, count * net.shard_size)
        sizes.append(Z.nbytes)
        tracemalloc.start()
        f = Objective(net, Z, y, "softmax", n_threads=1)
        f.value_and_gradient(theta)
        f.value(theta)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # one workspace and one gradient each time; a list of 36 slices more
    assert abs(peaks[2] - peaks[1]) < 20_000 < (sizes[2] - sizes[1]) / 100
