"""Metrics: by their definition, with ties, NaN, labels of positions, weights."""

import numpy as np
import pytest
from support.errors import raises
from support.networks import images

from matconv import metrics


def order(row):
    """Indices of the outputs, the largest first, of equals the first."""
    return sorted(range(len(row)), key=lambda j: (-row[j], j))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_metrics_are_their_definitions(dtype):
    for seed in range(30):
        random = np.random.default_rng(seed)
        l, n = int(random.integers(1, 40)), int(random.integers(2, 9))
        z = random.integers(-3, 4, (l, n)).astype(dtype)  # many ties
        y = random.integers(-1, n, l)
        y[0] = 0
        kept = [i for i in range(l) if y[i] >= 0]
        for k in range(1, n + 1):
            wrong = [y[i] not in order(z[i])[:k] for i in kept]
            assert metrics.top_k_error(z, y, k) == sum(wrong) / len(kept)
        assert metrics.error(z, y) == metrics.top_k_error(z, y, 1)
        right = [z[i].argmax() == y[i] for i in kept]
        assert metrics.accuracy(z, y) == sum(right) / len(kept)
        assert metrics.error(z, y) == (len(kept) - sum(right)) / len(kept)
        counts = np.zeros((n, n), int)
        for i in kept:
            counts[y[i], z[i].argmax()] += 1
        np.testing.assert_array_equal(metrics.confusion(z, y), counts)
        with np.errstate(invalid="ignore"):
            expected = 1 - np.diag(counts) / counts.sum(axis=1)
        np.testing.assert_allclose(metrics.class_errors(z, y), expected, rtol=1e-15, atol=1e-16)


def test_metrics_of_positions_are_those_of_a_row_for_each():
    random = np.random.default_rng(0)
    z, y = random.standard_normal((5, 3, 4, 6)), random.integers(-1, 6, (5, 3, 4))
    rows, labels = z.reshape(60, 6), y.reshape(60)
    weights = np.arange(5.0)
    assert metrics.error(z, y) == metrics.error(rows, labels)
    assert metrics.top_k_error(z, y, 2) == metrics.top_k_error(rows, labels, 2)
    np.testing.assert_array_equal(metrics.confusion(z, y), metrics.confusion(rows, labels))
    np.testing.assert_array_equal(metrics.class_errors(z, y), metrics.class_errors(rows, labels))
    by_row = metrics.error(rows, labels, np.repeat(weights, 12))
    assert metrics.error(z, y, weights) == by_row != metrics.error(z, y)
    pixel = z[:, :1, :1]
    assert metrics.error(pixel, abs(y[:, 0, 0])) == metrics.error(pixel[:, 0, 0], abs(y[:, 0, 0]))


def test_metrics_of_a_network_are_those_of_predict(mixed):
    net = mixed()
    Z, y = images(net, 30)
    theta = net.init(0)
    wrong = net.predict(theta, Z) != y
    assert metrics.error(net.forward(theta, Z), y) == wrong.mean()


def test_weighted_error_is_the_part_of_the_weight():
    z, y = np.eye(4), np.array([0, 0, 2, -1])
    assert metrics.error(z, y, [1, 2, 5, 100]) == 2 / 8
    assert metrics.accuracy(z, y, [1, 2, 5, 100]) == 6 / 8
    assert np.isnan(metrics.error(z, y, [0, 0, 0, 1]))


def test_nan_in_an_output_is_an_error_of_its_sample():
    z = np.array([[np.nan, 0.0], [1.0, np.nan], [1.0, 0.0]])
    y = np.array([0, 0, 0])
    assert metrics.error(z, y) == metrics.top_k_error(z, y, 2) == 2 / 3
    assert metrics.accuracy(z, y) == 1 / 3
    np.testing.assert_array_equal(metrics.confusion(z, y), [[1, 0], [0, 0]])
    np.testing.assert_array_equal(metrics.class_errors(z, y), [2 / 3, np.nan])


def test_single_output_decides_by_its_sign():
    z, y = np.array([[0.5], [0.0], [-2.0], [3.0]]), np.array([1, 0, 1, -1])
    assert metrics.error(z, y) == 1 / 3
    np.testing.assert_array_equal(metrics.confusion(z, y), [[1, 0], [1, 1]])
    assert metrics.top_k_error(z, y, 2) == 0


def test_no_labelled_sample_gives_nan():
    z, y = np.ones((2, 3)), np.array([-1, -1])
    assert np.isnan(metrics.error(z, y)) and np.isnan(metrics.accuracy(z, y))
    assert np.isnan(metrics.class_errors(z, y)).all() and not metrics.confusion(z, y).any()
    assert np.isnan(metrics.error(np.ones((0, 3)), np.zeros(0, int)))


@pytest.mark.parametrize(
    ("z", "y", "kind", "message"),
    [
        (np.ones((2, 3)), [0, 3], ValueError, "labels must be from 0 to 2, or -1 (not labelled)"),
        (np.ones((2, 3)), [0, -2], ValueError, "or -1 (not labelled), got -2 to 0"),
        (np.ones((2, 3)), [0, 1, 2], ValueError, "z must have the shape of y and an axis of out"),
        (np.ones(2), [0, 1], ValueError, "an axis of outputs, got (2,) and (2,)"),
        (np.ones((2, 0)), [0, 1], ValueError, "an axis of outputs, got (2, 0) and (2,)"),
        (np.ones((2, 3)), [0.0, 1], TypeError, "labels must be integers, got float64"),
        (np.ones((2, 3), complex), [0, 1], TypeError, "z must be real numbers, got complex128"),
        (np.ma.ones((2, 3)), [0, 1], TypeError, "z is a masked array; fill it or drop"),
        (np.ones((2, 3)), np.ma.zeros(2, int), TypeError, "y is a masked array; fill it or drop"),
    ],
)
def test_metrics_bad_input_refused(z, y, kind, message):
    for function in (metrics.error, metrics.accuracy, metrics.confusion, metrics.class_errors):
        with raises(kind, message):
            function(z, y)


@pytest.mark.parametrize(
    ("k", "kind", "message"),
    [
        (4, ValueError, "top_k_error: k must be at most 3, the classes, got 4"),
        (0, ValueError, "top_k_error: k must be at least 1, got 0"),
        (1.0, TypeError, "top_k_error: k must be an integer, got 1.0 (float)"),
    ],
)
def test_top_k_out_of_range(k, kind, message):
    with raises(kind, message):
        metrics.top_k_error(np.ones((2, 3)), [0, 1], k)


def test_metrics_wrong_weights_refused():
    with raises(ValueError, "error: weights must have shape (2,), one per image, got (3,)"):
        metrics.error(np.ones((2, 3)), [0, 1], np.ones(3))
