"""Factors of the regularisation, and of the learning rate: by number, vector, layer and kind."""

import pickle
from types import MappingProxyType

import numpy as np
import pytest
from support.errors import raises
from support.networks import images
from support.tolerances import assert_slope, assert_within, rounding_bound

from matconv import Add, Conv, Dense, Network, Objective, Scale, minimize
from matconv.factors import Run, as_factors, kind_of, runs
from matconv.layers import LAYERS

LAYERS_ = [
    Conv(3, 2, name="first"),
    Conv(3, 1, name="second", parameters=None),
    Conv(3, 1, name="again", parameters="second"),
    Add(inputs=["second", "again"], name="sum"),
    Scale(name="scale"),
    Dense(2, name="out"),
]


def net(dtype=np.float64):
    return Network((3, 3, 2), LAYERS_, dtype)


def vector(**places):
    """The factors of every element of theta, from those of (layer, array)."""
    network = net()
    p = np.ones(network.n)
    for layer, array, start, stop in network.layout.arrays():
        p[start:stop] = places.get(f"{layer}_{array}", 1)
    return p


# what is said, and the factor of each array that is not 1
SAID = [
    (1, {}),
    (0.5, dict.fromkeys(("first_W", "first_b", "second_W", "second_b", "scale_gain", "scale_bias",
                         "out_W", "out_b"), 0.5)),
    ({"biases": 0}, dict.fromkeys(("first_b", "second_b", "scale_bias", "out_b"), 0)),
    ({"first": 2, "out.weights": 0.25}, {"first_W": 2, "first_b": 2, "out_W": 0.25}),
    ({"biases": 0, "first": 2}, {"first_W": 2, "first_b": 2, "second_b": 0, "scale_bias": 0, "out_b": 0}),
    ({"first": 2, "biases": 0}, {"first_W": 2, **dict.fromkeys(("first_b", "second_b", "scale_bias", "out_b"), 0)}),
    ({"gains": 3, "scale.biases": 4}, {"scale_gain": 3, "scale_bias": 4}),
    ({"slopes": 3}, {}),
    (MappingProxyType({"second": 0}), {"second_W": 0, "second_b": 0}),
]  # fmt: skip


@pytest.mark.parametrize("C", [3.0, np.inf, 1e-310])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("said", "places"), SAID)
def test_penalty_is_sum_of_p_theta_squared(said, places, dtype, C):
    network = net(dtype)
    Z, y = images(network, 9)
    theta = network.init(0)
    theta += dtype(0.1)
    plain = Objective(network, Z, y, "softmax")
    f = Objective(network, Z, y, "softmax", C=C, penalty=said)
    p = vector(**places)
    value, gradient = f.value_and_gradient(theta)
    wide = theta.astype(float)
    with np.errstate(over="ignore"):
        term = (p * wide * wide).sum() / (2 * C)
        expected = plain(theta) + term
        assert value == f.value(theta)
        if np.isinf(expected):
            assert value == expected
        else:
            assert_within(value, expected, rounding_bound(2 * network.n, expected))
            assert_within(f.regularisation(theta), term, rounding_bound(network.n, term))
        added = np.where(p == 0, 0, p * wide / C)
        exact = plain.gradient(theta) + added.astype(dtype)
    # p / C or theta / C, the product, its rounding
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(finite, np.isfinite(gradient))
    bound = rounding_bound(4, np.abs(exact) + np.abs(plain.gradient(theta)), dtype)
    assert_within(gradient[finite], exact[finite], bound[finite])
    found = Objective(network, Z, y, "softmax", C=C, penalty=p).value_and_gradient(theta)
    assert_within(found[1][finite], gradient[finite], bound[finite])


def test_penalty_gradient_is_the_central_difference():
    network = net()
    Z, y = images(network, 5)
    p = np.random.default_rng(0).random(network.n)
    for penalty in (p, {"weights": 5, "out": 0}, 3.5):
        f, theta = Objective(network, Z, y, "softmax", C=0.5, penalty=penalty), network.init(3)
        gradient = f.gradient(theta)
        for k in range(network.n):
            step = np.zeros(network.n)
            step[k] = 1e-5
            slope = (f(theta + step) - f(theta - step)) / 2e-5
            assert_slope(slope, gradient[k], np.linalg.norm(gradient))


@pytest.mark.parametrize("penalty", [{"biases": 0, "first": 2}, "vector", 0.25, 0])
def test_penalty_same_bits_for_any_threads_and_parts(penalty):
    network = Network((3, 3, 2), [Conv(40, 3, pad=1, activation="relu"), Dense(3, name="first")])
    l = 4 * network.shard_size + 5
    Z, y = images(network, l)
    theta = network.init(0)
    if penalty == "vector":
        penalty = np.random.default_rng(0).random(network.n)
    f = Objective(network, Z, y, "softmax", C=2, n_threads=1, penalty=penalty)
    value, gradient = f.value_and_gradient(theta)
    assert value == f(theta)
    for other in (
        *(Objective(network, Z, y, "softmax", 2, n, penalty=penalty) for n in (2, 3, 5)),
        pickle.loads(pickle.dumps(f)),
        f.subset(np.arange(l)),
    ):
        again, gradient_again = other.value_and_gradient(theta)
        assert again == value and gradient_again.tobytes() == gradient.tobytes()
    leaves = len(network.leaves(l))
    sums = f.partial_sums(theta, 0, 1) + f.partial_sums(theta, 1, leaves)
    again, gradient_again = f.from_partial_sums(theta, sums)
    assert again == value and gradient_again.tobytes() == gradient.tobytes()


def test_parameters_without_penalty_do_not_matter_to_it():
    network = net()
    Z, y = images(network, 3)
    f = Objective(network, Z, y, C=1, penalty={"out": 0})
    theta = network.init(0)
    before = f.regularisation(theta)
    start = {layer: first for layer, _, first, _ in network.layout.arrays()[::-1]}["out"]
    theta[start:] = np.nan
    assert f.regularisation(theta) == before > 0


@pytest.mark.catalogue(36)
@pytest.mark.parametrize(
    ("penalty", "kind", "message"),
    [
        (-1, ValueError, "penalty must be at least 0 and finite, got -1"),
        (np.inf, ValueError, "penalty must be at least 0 and finite, got inf"),
        (np.nan, ValueError, "penalty must be at least 0 and finite, got nan"),
        ("biases", TypeError, "penalty must be a number, a dict or an array, got 'biases' (str)"),
        (None, TypeError, "penalty must be a number, got None (NoneType)"),
        (True, TypeError, "penalty must be a number, got True (bool)"),
        ({"biases": -1}, ValueError, "penalty['biases'] must be at least 0 and finite, got -1"),
        ({"biases": "0"}, TypeError, "penalty['biases'] must be a number, got '0' (str)"),
        ({0: 1}, TypeError, "penalty: keys must be str, got 0 (int)"),
        ({"conv": 1}, ValueError, "penalty: 'conv' names no parameters of the network; expected a layer"),
        ({"again": 1}, ValueError, "penalty: 'again' names no parameters of the network"),
        ({"first.gain": 1}, ValueError, "penalty: 'first.gain' names no parameters"),
        ({"": 1}, ValueError, "penalty: '' names no parameters of the network"),
        ({".weights": 1}, ValueError, "penalty: '.weights' names no parameters of the network"),
        (np.ones(3), ValueError, "penalty must have 71 elements, one for each parameter, got 3"),
        (np.ones((71, 1)), ValueError, "penalty must be a vector, got shape (71, 1)"),
        (-np.ones(71), ValueError, "penalty must be at least 0 and finite, got -1 at index 0"),
        (np.ones(71, complex), TypeError, "penalty must be an array of real numbers, got complex"),
        (np.ma.ones(71), TypeError, "penalty is a masked array; fill it or drop the mask first"),
    ],
)  # fmt: skip
def test_objective_wrong_penalty_refused(penalty, kind, message):
    network = net()
    with raises(kind, f"Objective: {message}"):
        Objective(network, *images(network, 2), penalty=penalty)


def test_penalty_of_an_unknown_name_lists_the_known_ones():
    network = net()
    known = (
        "layer (first, second, scale, out), a kind (weights, biases, gains, slopes) or 'layer.kind'"
    )
    with raises(ValueError, f"expected a {known}"):
        Objective(network, *images(network, 2), penalty={"conv": 1})


def test_penalty_is_copied():
    network = net()
    p, d = np.ones(network.n), {"biases": 0.0}
    f, g = (Objective(network, *images(network, 2), C=1, penalty=one) for one in (p, d))
    theta = network.init(0)
    before = f(theta), g(theta)
    p[...], d["biases"] = 5, 7
    assert (f(theta), g(theta)) == before and g.penalty == {"biases": 0.0}


def test_layer_with_the_name_of_a_kind_is_the_layer():
    arrays = [("weights", "W", 0, 4), ("weights", "b", 4, 6), ("a.weights", "W", 6, 9)]
    assert runs("p", {"weights": 2.0}, 9, arrays) == [Run(0, 6, 2.0), Run(6, 9, 1.0)]
    assert runs("p", {"a.weights": 2.0}, 9, arrays) == [Run(0, 6, 1.0), Run(6, 9, 2.0)]
    assert runs("p", as_factors("p", {"weights.weights": 1}), 9, arrays) is None


def test_every_array_of_a_layer_has_a_kind():
    kinds = {"weights", "biases", "gains", "slopes"}
    network = net()
    assert {kind_of(array) for _, array, *_ in network.layout.arrays()} <= kinds
    assert LAYERS  # arrays of other layers are kinds of their own names
    assert kind_of("centre") == "centre"


# learning rates


def test_rates_multiply_the_steps():
    network = net()
    Z, y = images(network, 10)
    f, theta = Objective(network, Z, y, "softmax", C=10), network.init(0)
    options = {"seed": 0, "batch_size": 10, "learning_rate": 0.1, "momentum": 0.5}
    rates = {"biases": 2, "first": 0}
    p = vector(first_W=0, first_b=0, second_b=2, scale_bias=2, out_b=2)
    for given in (rates, p):
        result = minimize(f, theta, "sgd", 3, rates=given, **options)
        expected, v = theta, np.zeros(network.n)
        for _ in range(3):
            v = 0.5 * v - 0.1 * p * f.gradient(expected)
            expected = expected + v
        assert_within(result.theta, expected, rounding_bound(200, np.abs(expected).max()))
        assert result.theta[:27].tobytes() == theta[:27].tobytes()
    plain = minimize(f, theta, "sgd", 3, **options)
    assert minimize(f, theta, "sgd", 3, rates=1, **options).theta.tobytes() == plain.theta.tobytes()
    assert plain.theta.tobytes() != result.theta.tobytes()


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"third": 1}, "rates: 'third' names no parameters of the network; expected a layer"),
        (np.ones(3), "rates must have 71 elements, one for each parameter, got 3"),
        (-0.5, "rates must be at least 0 and finite, got -0.5"),
    ],
)
def test_rates_wrong_refused(rates, message):
    network = net()
    f, theta = Objective(network, *images(network, 4)), network.init(0)
    before = theta.tobytes()
    with raises(ValueError, message):
        minimize(f, theta, "sgd", 1, rates=rates)
    assert theta.tobytes() == before
