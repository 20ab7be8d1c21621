"""Bad input to Objective: images, targets, C and the loss."""

import threading

import numpy as np
import pytest
from support.errors import raises
from support.networks import images, mixed
from support.tolerances import assert_within, rounding_bound

from matconv import Dense, Network, Objective

catalogue = pytest.mark.catalogue


@catalogue(34)
def test_objective_no_images_refused():
    net = mixed()
    with raises(ValueError, "Objective: Z has no images"):
        Objective(net, np.zeros((0, 9, 8, 2)), np.zeros(0, int))


@catalogue(34)
@pytest.mark.parametrize(
    ("indices", "kind", "message"),
    [
        ([], ValueError, "indices must be a vector of at least one, got shape (0,)"),
        ([[0]], ValueError, "indices must be a vector of at least one, got shape (1, 1)"),
        ([0, 4], ValueError, "indices must be from 0 to 3, got 0 to 4"),
        ([-1], ValueError, "indices must be from 0 to 3, got -1 to -1"),
        ([0.0], TypeError, "indices must be integers, got float64"),
        ([True], TypeError, "indices must be integers, got bool"),
        (slice(4, 9), ValueError, "indices must be a vector of at least one, got shape (0,)"),
    ],
)
def test_subset_indices(indices, kind, message):
    net = mixed()
    f = Objective(net, *images(net, 4))
    with raises(kind, message):
        f.subset(indices)


@catalogue(35)
@pytest.mark.parametrize("loss", ["squared", "softmax"])
@pytest.mark.parametrize(
    ("Y", "kind", "message"),
    [
        (np.zeros(3, int), ValueError, "Y must have one label per image, 4, got shape (3,)"),
        (np.zeros((4, 3), int), ValueError, "one label per image, 4, got shape (4, 3)"),
        (np.zeros((4, 2)), ValueError, "Y must have shape (4, 3), a row per image and a column"),
        (np.zeros((3, 3)), ValueError, "Y must have shape (4, 3)"),
        (np.array([0, 1, 2, 3]), ValueError, "labels must be from 0 to 2, one per output"),
        (np.array([0, -2, 2, 1]), ValueError, "or -1 (not labelled), got -2 to 2"),
        (np.array([0.0, 1, 2, 1]), TypeError, "labels must be integers, got float64"),
        (np.array(["a"] * 4), TypeError, "must be integer labels or rows of float64, got <U1"),
        (np.array([True] * 4), TypeError, "must be integer labels or rows of float64, got bool"),
        (None, TypeError, "must be integer labels or rows of float64, got object"),
        (np.ma.zeros((4, 3)), TypeError, "Y is a masked array"),
    ],
)
def test_objective_wrong_targets_refused(loss, Y, kind, message):
    net = mixed()
    with raises(kind, message):
        Objective(net, images(net, 4)[0], Y, loss)


@catalogue(35)
@pytest.mark.parametrize("row", [[0.5, 0.6, 0.0], [1.5, -0.5, 0.0], [np.nan, 0.0, 1.0]])
def test_objective_rows_not_probabilities_refused(row):
    net = mixed()
    with raises(ValueError, "each row of Y must be >= 0 and sum to 1"):
        Objective(net, images(net, 1)[0], np.array([row]), "softmax")


@catalogue(35)
def test_objective_one_class_computes():
    net = mixed()
    Z, _ = images(net, 4)
    f = Objective(net, Z, np.ones(4, int), "softmax")
    assert np.isfinite(f(net.init(0)))
    single = Network((9, 8, 2), [Dense(1)])
    assert np.isfinite(Objective(single, Z, np.zeros(4, int), "squared")(single.init(0)))
    with raises(ValueError, "softmax loss: the network must have at least 2 outputs, got 1"):
        Objective(single, Z, np.zeros(4, int), "softmax")


@catalogue(36)
@pytest.mark.parametrize("C", [0, -1.0, np.nan, -np.inf])
def test_C_out_of_range(C):
    net = mixed()
    with raises(ValueError, f"C must be positive (inf: no regularisation), got {C!r}"):
        Objective(net, *images(net, 1), C=C)


@catalogue(36)
@pytest.mark.parametrize("C", ["1", None, True, [1.0, 2.0]])
def test_C_of_another_kind(C):
    net = mixed()
    with raises(TypeError, f"C must be a number, got {C!r}"):
        Objective(net, *images(net, 1), C=C)


@catalogue(36)
def test_C_infinite_means_no_regularisation():
    net = mixed()
    Z, y = images(net, 3)
    theta = net.init(0)
    plain = Objective(net, Z, y, "softmax")
    weak = Objective(net, Z, y, "softmax", C=2.0)
    assert Objective(net, Z, y, "softmax", C=np.inf)(theta) == plain(theta)
    difference = weak.gradient(theta) - plain.gradient(theta)
    # the two share the same rounded sum; adding theta/C rounds once
    scale = np.abs(plain.gradient(theta)) + np.abs(theta)
    assert_within(difference, theta / 2, rounding_bound(2, scale))


@pytest.mark.parametrize(
    ("loss", "kind", "message"),
    [
        ("cubic", ValueError, "loss must be one of absolute, hinge, huber, logistic, multiclass_"),
        ("cubic:1", ValueError, "squared_hinge, structured_hinge, got 'cubic:1'"),
        ("huber:a", ValueError, "loss: the parameter must be a number, got 'huber:a'"),
        ("huber:0", ValueError, "HuberLoss: delta must be positive and finite, got 0"),
        ("huber:nan", ValueError, "HuberLoss: delta must be positive and finite, got nan"),
        ("hinge:2", ValueError, "loss hinge has no parameter, got 'hinge:2'"),
        (None, TypeError, "loss must be a name or an object with targets, value"),
    ],
)
def test_objective_wrong_loss_refused(loss, kind, message):
    net = mixed()
    with raises(kind, message):
        Objective(net, *images(net, 1), loss)


@catalogue(41)
def test_images_changed_by_another_thread_meanwhile():
    net = mixed()
    Z, y = images(net, 4 * net.shard_size)
    f = Objective(net, Z, y, "softmax")
    theta = net.init(0)
    stop = threading.Event()

    def scribble():
        random = np.random.default_rng(0)
        while not stop.is_set():
            Z[...] = random.standard_normal(Z.shape[1:])

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        values = [f.value_and_gradient(theta)[0] for _ in range(10)]
    finally:
        stop.set()
        thread.join()
    assert np.isfinite(values).all()
