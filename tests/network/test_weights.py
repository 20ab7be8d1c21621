"""Weights of images, samples that are not labelled, labels of positions; all with the same bits."""

import copy
import pickle
from math import fsum

import numpy as np
import pytest
from support.errors import raises
from support.known_losses import CASES, NAMES, targets
from support.networks import images
from support.tolerances import assert_slope, assert_within, rounding_bound

from matconv import Conv, MaxPool, Network, Objective, minimize
from matconv.losses import LOSSES, SoftmaxLoss, get_loss

DTYPES = [np.float64, np.float32]
DENSE = [Conv(4, 3, pad=1, activation="relu"), Conv(3, 1)]


def in_python(name):
    """The same loss, evaluated in Python."""
    loss = get_loss(name)
    own = type("Own", (type(loss),), {})
    return own(loss.parameter) if loss.parameter else own()


def dense(l, seed=0, dtype=np.float64, kind="labels"):
    """A fully convolutional network, images, and targets of every position."""
    net = Network((4, 5, 2), DENSE, dtype)
    random = np.random.default_rng(seed)
    Z = random.standard_normal((l, 4, 5, 2)).astype(dtype)
    Y = targets(kind, random, l * 20, 3)
    return net, Z, Y.reshape(l, 4, 5, *Y.shape[1:]).astype(int if kind == "labels" else Y.dtype)


def by_images(net, Z, Y, name, weights, theta):
    """f and its gradient from one objective for each image, without weights."""
    total, value, gradient = 0.0, 0.0, np.zeros(net.n)
    for Z_i, y_i, w in zip(Z, Y, weights):
        try:
            one = Objective(net, Z_i[None], y_i[None], name)
        except ValueError as error:
            assert "no image with a positive weight is labelled" in str(error)
            continue
        found = one.value_and_gradient(theta)
        total += w * one.total_weight
        value += w * one.total_weight * found[0]
        gradient += w * one.total_weight * found[1]
    return value / total, gradient / total


@pytest.mark.parametrize("implementation", ["compiled", "python"])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_f_is_the_weighted_mean_over_the_labelled_images(name, kind, implementation, mixed):
    net = mixed()
    random = np.random.default_rng(3)
    Z, _ = images(net, 30)
    Y, weights = targets(kind, random, 30, 3), random.choice([0, 0.5, 1, 3], 30)
    theta = net.init(0)
    loss = name if implementation == "compiled" else in_python(name)
    f = Objective(net, Z, Y, loss, weights=weights)
    value, gradient = f.value_and_gradient(theta)
    expected = by_images(net, Z, Y, name, weights, theta)
    assert value == f.value(theta)
    assert_within(value, expected[0], rounding_bound(300, expected[0]))
    assert_within(gradient, expected[1], rounding_bound(2000, np.abs(expected[1]).max()))


@pytest.mark.parametrize("implementation", ["compiled", "python"])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_f_of_positions_is_the_mean_over_the_labelled_positions(name, kind, implementation):
    """The same as images of one pixel, for a network without windows."""
    net, pixels = Network((3, 4, 2), [Conv(3, 1)]), Network((1, 1, 2), [Conv(3, 1)])
    random = np.random.default_rng(5)
    Z, Y = random.standard_normal((6, 3, 4, 2)), targets(kind, random, 72, 3)
    weights = random.choice([0, 0.5, 1, 3], 6)
    weights[0] = 1
    loss = name if implementation == "compiled" else in_python(name)
    f = Objective(net, Z, Y.reshape(6, 3, 4, *Y.shape[1:]), loss, C=3, weights=weights)
    flat = Z.reshape(72, 1, 1, 2), Y
    g = Objective(pixels, *flat, loss, C=3, weights=np.repeat(weights, 12))
    theta = net.init(0)
    assert f.total_weight == g.total_weight
    (value, gradient), expected = f.value_and_gradient(theta), g.value_and_gradient(theta)
    assert_within(value, expected[0], rounding_bound(150, expected[0]))
    assert_within(gradient, expected[1], rounding_bound(300, np.abs(expected[1]).max()))


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_positions_is_the_central_difference(name):
    net, Z, Y = dense(5)
    f = Objective(net, Z, Y, name, C=5, weights=np.arange(5), penalty={"biases": 0.5})
    random = np.random.default_rng(1)
    theta = net.init(0) + 0.01 * random.standard_normal(net.n)
    gradient = f.gradient(theta)
    for _ in range(3):
        v = random.standard_normal(net.n)
        v /= np.linalg.norm(v)
        h = 1e-7
        slope = (f(theta + h * v) - f(theta - h * v)) / (2 * h)
        assert abs(slope - gradient @ v) <= 1e-6 * np.linalg.norm(gradient)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_same_bits_for_any_threads_with_weights_and_positions(name, dtype):
    net, Z, Y = dense(700, dtype=dtype)
    weights = np.random.default_rng(0).random(700)
    theta = net.init(0)
    assert len(net.shards(700)) > 1
    found = {
        (f.value(theta), *(x if isinstance(x, float) else x.tobytes() for x in pair))
        for n_threads in (1, 2, 3, 5)
        for f in [Objective(net, Z, Y, name, 3, n_threads, weights=weights, penalty={"biases": 0})]
        for pair in [f.value_and_gradient(theta)]
    }
    assert len(found) == 1
    value, again, _ = found.pop()
    assert value == again


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_one_and_labels_that_are_all_given_have_the_bits_of_none(name, dtype, mixed):
    net = mixed(dtype)
    Z, y = images(net, 60)
    theta = net.init(0)
    plain = Objective(net, Z, y, name, C=2).value_and_gradient(theta)
    for more in (
        {"weights": np.ones(60)},
        {"penalty": np.ones(net.n)},
        {"penalty": {"weights": 1}},
    ):
        found = Objective(net, Z, y, name, C=2, **more).value_and_gradient(theta)
        assert found[0] == plain[0] and found[1].tobytes() == plain[1].tobytes()


@pytest.mark.parametrize("implementation", ["compiled", "python"])
def test_weights_that_are_powers_of_two_change_no_bits(implementation, mixed):
    net = mixed()
    Z, y = images(net, 60)
    loss = "softmax" if implementation == "compiled" else in_python("softmax")
    weights, theta = np.random.default_rng(0).random(60), net.init(0)
    one = Objective(net, Z, y, loss, weights=weights).value_and_gradient(theta)
    two = Objective(net, Z, y, loss, weights=4 * weights).value_and_gradient(theta)
    assert one[0] == two[0] and one[1].tobytes() == two[1].tobytes()


def test_unlabelled_image_has_no_influence(mixed):
    net = mixed()
    Z, y = images(net, 20)
    y[[3, 8]] = -1
    f, theta = Objective(net, Z, y, "softmax", C=4), net.init(0)
    assert f.total_weight == 18 and f.l == 20
    other = Z.copy()
    other[[3, 8]] *= -7
    g = Objective(net, other, y, "softmax", C=4)
    (a, da), (b, db) = f.value_and_gradient(theta), g.value_and_gradient(theta)
    assert a == b
    np.testing.assert_array_equal(da, db)
    without = Objective(net, Z[y >= 0], y[y >= 0], "softmax", C=4).value_and_gradient(theta)
    assert_within(a, without[0], rounding_bound(60, without[0]))
    assert_within(da, without[1], rounding_bound(200, np.abs(without[1]).max()))


def test_subset_partial_sums_copies_and_pickles_keep_weights_and_labels(mixed):
    net = mixed()
    l = 5 * net.shard_size + 7
    Z, y = images(net, l)
    y[::5] = -1
    weights, theta = np.random.default_rng(1).random(l), net.init(0)
    weights[:9] = 0
    penalty = {"biases": 0}
    f = Objective(net, Z, y, "squared_hinge", C=3, weights=weights, penalty=penalty)
    chosen = np.random.default_rng(2).integers(0, l, 50)
    part = f.subset(chosen)
    alone = Objective(
        net, Z[chosen], y[chosen], "squared_hinge", C=3, weights=weights[chosen], penalty=penalty
    )
    expected = alone.value_and_gradient(theta)
    assert part.total_weight == alone.total_weight == fsum(weights[chosen][y[chosen] >= 0])
    for one in (part, copy.copy(part), pickle.loads(pickle.dumps(part)), copy.deepcopy(part)):
        value, gradient = one.value_and_gradient(theta)
        assert value == expected[0] and gradient.tobytes() == expected[1].tobytes()
        assert one.total_weight == alone.total_weight
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(part)).weights[0] = 1
    whole = f.value_and_gradient(theta)
    leaves = len(net.leaves(l))
    for cut in range(1, leaves):
        sums = f.partial_sums(theta, 0, cut) + f.partial_sums(theta, cut, leaves)
        value, gradient = f.from_partial_sums(theta, sums)
        assert value == whole[0] and gradient.tobytes() == whole[1].tobytes()


def test_subset_without_labelled_images_is_the_regularisation(mixed):
    net = mixed()
    Z, y = images(net, 6)
    y[:3] = -1
    for loss in ("softmax", in_python("softmax")):
        f, theta = Objective(net, Z, y, loss, C=2, weights=[1, 1, 1, 1, 0, 1]), net.init(0)
        part = f.subset([0, 2, 4])
        assert part.total_weight == 0
        value, gradient = part.value_and_gradient(theta)
        assert value == f.regularisation(theta) == part.value(theta)
        np.testing.assert_array_equal(gradient, theta / 2)


# bad input


@pytest.mark.catalogue(35)
@pytest.mark.parametrize(
    ("weights", "kind", "message"),
    [
        (np.ones(3), ValueError, "weights must have shape (4,), one per image, got (3,)"),
        (np.ones((4, 1)), ValueError, "weights must have shape (4,), one per image, got (4, 1)"),
        (1.0, ValueError, "weights must have shape (4,), one per image, got ()"),
        ([1, 1, -1, 1], ValueError, "weights must be at least 0 and finite, got -1 at index 2"),
        (
            [1, np.nan, 1, 1],
            ValueError,
            "weights must be at least 0 and finite, got nan at index 1",
        ),
        (
            [1, 1, 1, np.inf],
            ValueError,
            "weights must be at least 0 and finite, got inf at index 3",
        ),
        (np.zeros(4), ValueError, "weights must not all be 0"),
        ([1e308] * 4, ValueError, "the sum of weights must be finite"),
        ([0, 0, 0, 1], ValueError, "no image with a positive weight is labelled"),
        ([True] * 4, TypeError, "weights must be real numbers, got bool"),
        (["a"] * 4, TypeError, "weights must be real numbers, got <U1"),
        ([1j] * 4, TypeError, "weights must be real numbers, got complex128"),
        (np.ma.ones(4), TypeError, "weights is a masked array; fill it or drop the mask first"),
    ],
)
def test_objective_wrong_weights_refused(weights, kind, message, mixed):
    net = mixed()
    Z, _ = images(net, 4)
    before = copy.deepcopy(weights)
    with raises(kind, f"Objective: {message}"):
        Objective(net, Z, [0, 1, 2, -1], "softmax", weights=weights)
    np.testing.assert_array_equal(weights, before)


def test_objective_weights_are_copied(mixed):
    net = mixed()
    Z, y = images(net, 4)
    weights = np.array([1.0, 2, 0, 1])
    f, theta = Objective(net, Z, y, "softmax", weights=weights), net.init(0)
    before = f(theta)
    weights[...] = 7
    assert f(theta) == before


@pytest.mark.catalogue(35)
@pytest.mark.parametrize(
    ("Y", "kind", "message"),
    [
        (np.zeros((2, 4, 4), int), ValueError, "SoftmaxLoss: Y must have shape (2, 4, 5), a label"),
        (np.zeros((1, 4, 5), int), ValueError, "the output, or (2, 4, 5, 3), got (1, 4, 5)"),
        (np.ones((2, 4, 5, 4)), ValueError, "or (2, 4, 5, 3), got (2, 4, 5, 4)"),
        (np.full((2, 4, 5), 3), ValueError, "labels must be from 0 to 2, one per output"),
        (np.full((2, 4, 5), -2), ValueError, "or -1 (not labelled), got -2 to -2"),
        (np.zeros((2, 4, 5)), TypeError, "softmax loss: labels must be integers, got float64"),
        (np.full((2, 4, 5), -1), ValueError, "no image with a positive weight is labelled"),
        (np.ma.zeros((2, 4, 5), int), TypeError, "SoftmaxLoss: Y is a masked array"),
    ],
)
def test_objective_wrong_targets_of_positions_refused(Y, kind, message):
    net, Z, _ = dense(2)
    with raises(kind, message):
        Objective(net, Z, Y, "softmax")


def test_labels_of_images_of_a_convolutional_output_are_elements():
    """One label for each image: softmax over all elements of the output, in their order."""
    net, Z, _ = dense(4)
    theta = net.init(0)
    z = net.forward(theta, Z).reshape(4, 60)
    y = np.array([59, 0, -1, 31])
    expected = SoftmaxLoss().value(z, y) / 3
    found = Objective(net, Z, y, "softmax")(theta)
    assert_within(found, expected, rounding_bound(200, expected))


def test_users_loss_without_positions_gets_targets_as_they_are():
    class Images:
        """Squared error against images."""

        def targets(self, Y, l, n_outputs, dtype):
            assert Y.shape == (3, 4, 5, 3) and n_outputs == 60
            return Y.reshape(l, n_outputs)

        def value(self, z, y):
            return ((z - y) ** 2).sum()

        def value_and_gradient(self, z, y):
            return self.value(z, y), 2 * (z - y)

    net, Z, _ = dense(3)
    Y, theta = np.random.default_rng(0).standard_normal((3, 4, 5, 3)), net.init(0)
    found = Objective(net, Z, Y, Images()).value_and_gradient(theta)
    expected = Objective(net, Z, Y, "squared").value_and_gradient(theta)
    assert_within(found[0], 20 * expected[0], rounding_bound(300, found[0]))
    assert_within(found[1], 20 * expected[1], rounding_bound(900, np.abs(found[1]).max()))


# training


def stripes(l, seed=0):
    """Images of noise; a position's class is whether its pixel, blurred, is above 0."""
    random = np.random.default_rng(seed)
    Z = random.standard_normal((l, 8, 8, 1))
    blurred = Z[..., 0] + np.roll(Z[..., 0], 1, axis=2)
    y = (blurred > 0).astype(int)
    y[:, :, 0] = -1
    return Z, y


@pytest.mark.parametrize("name", ["softmax", "structured_hinge", "squared_hinge"])
@pytest.mark.parametrize("method", ["lbfgs", "sgd"])
def test_fully_convolutional_network_trains(method, name):
    net = Network((8, 8, 1), [Conv(8, 3, pad=1, activation="relu"), Conv(2, 1)])
    Z, y = stripes(60)
    f = Objective(net, Z, y, name, C=1e4)
    options = {"learning_rate": 0.05, "seed": 0, "batch_size": 10} if method == "sgd" else {}
    result = minimize(f, net.init(0), method, 40, **options)
    test, truth = stripes(20, seed=1)
    found = net.forward(result.theta, test).argmax(axis=-1)
    kept = truth >= 0
    assert (found == truth)[kept].mean() > 0.95 and kept.sum() == 20 * 56
    assert result.f < 0.3 * f(net.init(0))


def test_sgd_leaves_out_batches_without_labels(mixed):
    net = mixed()
    Z, y = images(net, 12)
    y[:] = np.where(np.arange(12) == 7, y, -1)
    f, theta = Objective(net, Z, y, "softmax", C=5), net.init(0)
    steps = []
    result = minimize(
        f, theta, "sgd", 2, batch_size=3, seed=0, momentum=0, learning_rate=0.1,
        on_step=lambda run: steps.append(run.theta.tobytes()),
    )  # fmt: skip
    assert len(set(steps)) == 2  # one step in each epoch
    expected = theta
    for _ in range(2):
        before = expected
        expected = expected - 0.1 * f.subset([7]).gradient(expected)
    assert_within(result.theta, expected, rounding_bound(40, np.abs(expected).max()))
    assert result.f == f.subset([7])(before)


def test_sgd_history_is_the_weighted_mean(mixed):
    net = mixed()
    Z, y = images(net, 12)
    weights = np.arange(12.0)
    f, theta = Objective(net, Z, y, "softmax", weights=weights), net.init(0)
    result = minimize(f, theta, "sgd", 1, batch_size=4, seed=0, learning_rate=0)
    row = result.history[0]
    assert_within(row["f"], f(theta), rounding_bound(100, f(theta)))
    norm = np.linalg.norm(f.gradient(theta))
    assert_slope(row["gradient_norm"], norm, norm)


def test_pooled_network_trains_on_positions_of_its_output():
    net = Network((8, 8, 1), [Conv(4, 3, pad=1, activation="relu"), MaxPool(2), Conv(3, 1)])
    Y = np.random.default_rng(0).integers(-1, 3, (6, 4, 4))
    Z = np.random.default_rng(1).standard_normal((6, 8, 8, 1))
    f = Objective(net, Z, Y, "softmax")
    assert f.total_weight == (Y >= 0).sum()
    assert minimize(f, net.init(0), max_iterations=5).f < f(net.init(0))
