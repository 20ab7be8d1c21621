"""Layers that normalise, PReLU, and activations by name: arguments, limits, memory, freezing."""

import dataclasses
import json
import re

import numpy as np
import pytest
from support.activations import EXAMPLES, NEEDS_INPUT, code
from support.tolerances import assert_same, assert_same_bytes, assert_within, rounding_bound

from matconv import (
    ELU,
    LRN,
    Activation,
    Add,
    Clip,
    Conv,
    Dense,
    HardSigmoid,
    LogSoftmax,
    Network,
    Normalize,
    PReLU,
    Scale,
    Softmax,
    load_predictor,
)

DTYPES = ["float64", "float32"]
IMAGE = (5, 4, 3)


def forward(layer, Z):
    """The output of a layer without parameters for images."""
    return Network(Z.shape[1:], [layer], Z.dtype).forward(np.empty(0, Z.dtype), Z)


def test_names_stand_for_instances():
    assert Conv(1, 1, activation="relu6").activation == Clip(0, 6)
    assert Dense(1, activation="elu").activation == ELU(1.0)
    assert Activation("hard_sigmoid").activation == HardSigmoid(1 / 6, 0.5)
    assert Scale(activation="gelu").activation == "gelu"


@pytest.mark.parametrize("sigma", EXAMPLES, ids=repr)
def test_activation_goes_through_json_and_files(sigma, tmp_path):
    layers = [Conv(4, 3, activation=sigma), Scale(activation=sigma), Activation(sigma), Dense(2)]
    net = Network(IMAGE, layers)
    assert Network.from_description(json.loads(json.dumps(net.description()))) == net
    random = np.random.default_rng(0)
    theta, Z = random.standard_normal(net.n), random.standard_normal((6, *IMAGE))
    z = net.forward(theta, Z)
    # the frozen network has another order of sums and products
    bound = rounding_bound(200, np.abs(z).max() + np.abs(theta).sum())
    assert_within(net.freeze(theta)(Z), z, bound)
    net.export(theta, tmp_path / "net.matconv")
    assert_same_bytes(load_predictor(tmp_path / "net.matconv")(Z), net.freeze(theta)(Z))


@pytest.mark.parametrize("sigma", EXAMPLES, ids=repr)
def test_scale_is_merged_only_with_a_convolution_without_activation(sigma):
    """The activation of the Scale becomes that of the convolution, in the operation or after it."""
    random = np.random.default_rng(1)
    for first, second in ((None, sigma), (sigma, None), (sigma, sigma)):
        net = Network(IMAGE, [Conv(4, 3, activation=first), Scale(activation=second), Dense(2)])
        theta, Z = random.standard_normal(net.n), random.standard_normal((6, *IMAGE))
        z = net.forward(theta, Z)
        assert_within(net.freeze(theta)(Z), z, rounding_bound(1000, 1 + np.abs(z).max()))


def kept_bytes(layers, sigma):
    """Bytes by which an activation adds to the block for training; images are 8 x 8 x 4."""
    found = []
    for one in (sigma, "relu"):
        net = Network((8, 8, 4), [*layers(one), Dense(1)])
        program = net.program(net.names[-1])
        found.append(program.training_bytes / net.shard_size)
    return found[0] - found[1]


@pytest.mark.parametrize("sigma", EXAMPLES, ids=repr)
def test_activation_input_is_kept_only_if_the_derivative_needs_it(sigma):
    def conv(sigma):
        return [Conv(4, 1, activation=sigma)]

    def add(sigma):
        return [Scale(name="s"), Add(inputs=["s", "input"], activation=sigma)]

    def alone(sigma):
        return [Scale(), Activation(sigma)]

    needs = code(sigma)[0] in NEEDS_INPUT
    for layers in (conv, add):
        assert kept_bytes(layers, sigma) == pytest.approx(8 * 8 * 4 * 8 * needs, abs=1)
    # its own input is there anyway
    assert kept_bytes(alone, sigma) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_large_elements_and_their_logarithms(dtype):
    random = np.random.default_rng(2)
    scores = random.integers(-9, 10, (3, 4, 5, 7)).astype(dtype)
    y, log_y = forward(Softmax(), scores), forward(LogSoftmax(), scores)
    total = y.sum(-1)
    assert_within(total, np.ones_like(total), rounding_bound(20, 1, dtype))
    assert_within(np.log(y), log_y, rounding_bound(20, 1 + np.abs(log_y), dtype))
    # the same bits if all channels of a pixel are moved by an integer, without overflow
    for move in (1000, -100000):
        assert_same_bytes(forward(Softmax(), scores + np.array(move, dtype)), y)
        assert_same_bytes(forward(LogSoftmax(), scores + np.array(move, dtype)), log_y)
    far = np.array([[[[0, -50000, -np.inf]]]], dtype)
    assert forward(Softmax(), far).ravel().tolist() == [1, 0, 0]
    assert forward(LogSoftmax(), far).ravel().tolist() == [0, -50000, -np.inf]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", [Softmax(), LogSoftmax()], ids=repr)
def test_softmax_not_finite_pixels_are_nan(layer, dtype):
    for pixel in ([1, np.nan, 0], [np.nan, 1, 2], [1, np.inf, 0], [-np.inf] * 3):
        Z = np.ones((1, 1, 3, 3), dtype)
        Z[0, 0, 1] = pixel
        bad = np.isnan(forward(layer, Z))
        assert bad[0, 0].tolist() == [[False] * 3, [True] * 3, [False] * 3]


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize_zero_vector_is_nan_without_epsilon(dtype):
    Z = np.zeros((1, 1, 2, 2), dtype)
    Z[0, 0, 1] = 3, -4
    found = forward(Normalize(), Z)
    assert np.isnan(found[0, 0, 0]).all()
    assert_within(found[0, 0, 1], np.array([0.6, -0.8]), rounding_bound(2, 1, dtype))
    assert_same(forward(Normalize(epsilon=0.25), Z)[0, 0, 0], np.zeros(2))
    # sums of |z| over the pixels of a channel
    Z[0, 0, 0] = 1, 4
    assert forward(Normalize(1, spatial=True), Z).ravel().tolist() == [0.25, 0.5, 0.75, -0.5]
    large = np.full((1, 1, 1, 2), np.finfo(dtype).max / 2, dtype)
    assert forward(Normalize(), large).ravel().tolist() == [0, 0]


def test_prelu_slopes_are_parameters():
    net = Network(IMAGE, [PReLU(name="a"), Conv(3, 1, name="c"), PReLU(parameters="a"), Dense(1)])
    theta = net.init(0)
    slope = net.unpack(theta)[0].slope
    assert slope.tolist() == [0.25] * 3
    assert net.n == 3 + 12 + 5 * 4 * 3 + 1
    net = Network((1, 1, 3), [PReLU()])
    Z = np.array([[-4.0, -4, 0], [5, np.nan, -2]]).reshape(2, 1, 1, 3)
    z = net.forward(np.array([-0.5, 0.0, 2.0]), Z).reshape(2, 3)
    np.testing.assert_array_equal(z, [[2, 0, 0], [5, np.nan, -4]])


WRONG = [
    (lambda: Normalize(0.5), ValueError, "Normalize: p must be at least 1 and finite, got 0.5"),
    (lambda: Normalize(np.nan), ValueError, "Normalize: p must be"),
    (lambda: Normalize(np.inf), ValueError, "Normalize: p must be"),
    (lambda: Normalize("2"), TypeError, "Normalize: p must be a number, got '2' (str)"),
    (lambda: Normalize(epsilon=-1), ValueError, "Normalize: epsilon must be"),
    (lambda: Normalize(spatial=1), TypeError, "Normalize: spatial must be"),
    (lambda: LRN(0), ValueError, "LRN: size must be at least 1, got 0"),
    (lambda: LRN(k=-1), ValueError, "LRN: k must be finite and not negative, got -1"),
    (lambda: ELU(0), ValueError, "ELU: alpha must be from 1e-45 to 1e38, got 0"),
    (lambda: ELU(None), TypeError, "ELU: alpha must be a number, got None (NoneType)"),
    (lambda: HardSigmoid(-1), ValueError, "HardSigmoid: slope must be from 1e-45 to 1e38, got -1"),
    (
        lambda: HardSigmoid(1, np.inf),
        ValueError,
        "HardSigmoid: offset must be from -1e38 to 1e38, got inf",
    ),
    (
        lambda: Network((1, 1, 4), [Dense(3), Normalize(spatial=True)]),
        ValueError,
        "layer 1 (Normalize)",
    ),
    (
        lambda: Network(IMAGE, [PReLU(name="a"), Conv(2, 1), PReLU(parameters="a")]),
        ValueError,
        "layer 2 (PReLU)",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), WRONG)
def test_argument_wrong_is_refused(make, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        make()


@pytest.mark.parametrize(
    "layer",
    [LRN(3, 1, 0.5, 0.5), Normalize(3, 0.1, True), Softmax(), LogSoftmax(), PReLU()],
    ids=repr,
)
def test_layer_is_equal_after_a_copy_and_its_representation(layer):
    names = {kind.__name__: kind for kind in (LRN, Normalize, Softmax, LogSoftmax, PReLU)}
    assert eval(repr(layer), names) == layer == dataclasses.replace(layer)
