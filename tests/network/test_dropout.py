"""Dropout: the dropped elements, gradients, subsets, threads; copies elsewhere."""

import copy
import json
import pickle
import re

import numpy as np
import pytest

from matconv import (
    Activation,
    Add,
    Conv,
    Dense,
    Dropout,
    Network,
    Objective,
    Scale,
    load_predictor,
    minimize,
)

DTYPES = [np.float64, np.float32]
THREADS = (1, 2, 3, 5)


def kept(rate, seed, epoch, layer, image, size):
    """Whether each element of an image is kept, by numpy's generator."""
    # random_raw increments the counter before it computes a block
    counter = (image << 64 | layer << 128) - 1
    bits = np.random.Philox(counter=counter % 2**256, key=seed | epoch << 64)
    words = bits.random_raw(4 * -(-size // 8)).astype("<u8").view("<u4")[:size]
    return words >= rate * 2**32


def mask(net, layer, rate, seed, epoch, images):
    """The factors of the elements of images, given by their numbers in the data set."""
    size = int(np.prod(net.input_shapes[layer]))
    found = [kept(rate, seed, epoch, layer, image, size) for image in images]
    return np.array(found) / np.array(1 - rate, net.dtype)


def identity(shape, rate, dtype=np.float64):
    """A network whose output is its input after Dropout, and its theta."""
    net = Network(shape, [Conv(shape[2], 1, bias=False), Dropout(rate)], dtype)
    return net, np.eye(shape[2], dtype=dtype).ravel()


def ones(net, l):
    return np.ones((l, *net.input_shape), net.dtype)


def classifier(rate=0.5, dtype=np.float64, side=6):
    layers = [
        Conv(3, 3, pad="same", activation="relu", name="a"),
        Dropout(rate, name="b"),
        Conv(3, 3, pad="same", name="c"),
        Dropout(0.25, inputs="a", name="d"),
        Add(inputs=["a", "c", "d"], name="e"),
        Dense(8, activation="relu"),
        Dropout(rate),
        Dense(3),
    ]
    return Network((side, side, 2), layers, dtype)


def problem(l=40, **options):
    net = classifier(**options)
    random = np.random.default_rng(0)
    Z = random.standard_normal((l, *net.input_shape)).astype(net.dtype)
    return Objective(net, Z, random.integers(0, 3, l), "softmax", C=10), net.init(1)


# what is dropped


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 1), (5, 3, 3), (2, 4, 8)])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.9375])
def test_dropped_elements_are_those_of_numpys_philox(shape, rate, dtype):
    net, theta = identity(shape, rate, dtype)
    Z = (np.arange(7 * np.prod(shape)).reshape(7, *shape) % 13 - 6).astype(dtype)
    f = Objective(net, Z, np.zeros((7, net.n_outputs), dtype))
    z = f.with_dropout(2**64 - 3, 5).outputs(theta)
    factors = mask(net, 1, rate, 2**64 - 3, 5, range(7))
    np.testing.assert_array_equal(z, Z.reshape(7, -1) * (factors > 0) * dtype(1 / (1 - rate)))


def test_dropped_elements_are_those_of_the_published_block():
    """The block of counter 0 and key 0 in the authors' known answers for philox4x64 10."""
    block = 0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B
    words = [word >> shift & 0xFFFFFFFF for word in block for shift in (0, 32)]
    for k, word in enumerate(words):
        for rate, expected in ((word / 2**32, 1), ((word + 1) / 2**32, 0)):
            layers = [Dropout(rate, name="drop"), Dense(1, bias=False)]
            net = Network((1, 1, 8), layers, outputs=["drop", "dense2"])
            f = Objective(net, ones(net, 1), np.zeros((1, 8)), output="drop")
            z = f.with_dropout(0, 0).outputs(np.zeros(8))
            assert (z[0, k] != 0) == expected


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropped_fraction_is_the_rate_and_the_mean_is_kept(rate):
    net, theta = identity((25, 20, 4), rate)
    l = 100
    f = Objective(net, ones(net, l), np.zeros((l, net.n_outputs)))
    z = f.with_dropout(7).outputs(theta)
    # 4 standard deviations of a mean of independent Bernoulli variables
    bound = 4 * np.sqrt(rate * (1 - rate) / z.size)
    assert abs((z == 0).mean() - rate) <= bound
    assert abs(z.mean() - 1) <= bound / (1 - rate)
    # of each element over images, and of each image over elements
    for axis, count in ((0, l), (1, z.shape[1])):
        spread = (z == 0).mean(axis).var() / (rate * (1 - rate) / count)
        assert abs(spread - 1) <= 4 * np.sqrt(2 / (z.size / count)) + 6 / count


def test_masks_of_seeds_epochs_layers_and_images_are_uncorrelated():
    shape = (20, 20, 5)
    net = Network(shape, [
        Conv(5, 1, bias=False, name="a"), Dropout(0.5, name="b"), Dropout(0.5, inputs="a", name="c"),
    ], outputs=["b", "c"])  # fmt: skip
    theta = np.eye(5).ravel()
    masks = []
    for name in ("b", "c"):
        f = Objective(net, ones(net, 2), np.zeros((2, 2000)), output=name)
        for key in ((0, 0), (1, 0), (0, 1), (1, 1)):
            masks += list(f.with_dropout(*key).outputs(theta) - 1)
    products = np.array(masks) @ np.array(masks).T / 2000
    np.testing.assert_array_equal(np.diag(products), 1)
    assert abs(products - np.eye(len(masks))).max() <= 5 / np.sqrt(2000)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinite_elements_are_dropped_like_others(dtype):
    net, theta = identity((1, 1, 1), 0.5, dtype)
    values = np.array([np.nan, np.inf, -np.inf, 5e-324 if dtype is np.float64 else 1e-45] * 40)
    Z = values.astype(dtype).reshape(-1, 1, 1, 1)
    f = Objective(net, Z, np.zeros((len(Z), 1), dtype)).with_dropout(3)
    factors = mask(net, 1, 0.5, 3, 0, range(len(Z)))
    expected = np.where(factors == 0, 0, 2 * Z.reshape(-1, 1))
    np.testing.assert_array_equal(f.outputs(theta), expected.astype(dtype))
    assert (factors == 0).any() and (factors == 2).any()


# gradients


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_is_exact_on_integers(dtype):
    """All results are multiples of 1/8; three steps read one value."""
    layers = [
        Conv(4, 1, bias=False, name="a"),
        Dropout(0.5, name="b"),
        Dropout(0.75, inputs="a", name="c"),
        Add(inputs=["a", "b", "c"]),
    ]
    net = Network((3, 3, 2), layers, dtype)
    random = np.random.default_rng(1)
    Z = random.integers(-3, 4, (8, 3, 3, 2)).astype(dtype)
    Y = random.integers(-3, 4, (8, 36)).astype(dtype)
    W = random.integers(-3, 4, (2, 4)).astype(dtype)
    f = Objective(net, Z, Y).with_dropout(11, 2)
    factors = 1 + mask(net, 1, 0.5, 11, 2, range(8)) + mask(net, 2, 0.75, 11, 2, range(8))
    factors = factors.reshape(8, 3, 3, 4)
    residual = factors * (Z @ W) - Y.reshape(factors.shape)
    value, gradient = f.value_and_gradient(W.ravel())
    assert value == (residual**2).sum() / 8
    expected = np.einsum("lhwc,lhwd->cd", Z, 2 * residual * factors) / 8
    np.testing.assert_array_equal(gradient, expected.ravel())
    assert np.count_nonzero(gradient) == 8


def test_gradient_is_that_of_central_differences():
    f, theta = problem()
    f = f.with_dropout(5, 1)
    random, h = np.random.default_rng(2), 1e-6
    gradient = f.gradient(theta)
    for _ in range(5):
        direction = gradient / np.linalg.norm(gradient) + 0.1 * random.standard_normal(len(theta))
        difference = (f(theta + h * direction) - f(theta - h * direction)) / (2 * h)
        assert abs(difference - gradient @ direction) <= 1e-7 * abs(gradient @ direction)


def test_gradient_of_a_python_loss_uses_the_same_masks():
    class Squared:
        def targets(self, Y, l, n_outputs, dtype):
            return Y

        def value(self, z, Y):
            return float(((z - Y) ** 2).sum())

        def value_and_gradient(self, z, Y):
            return self.value(z, Y), 2 * (z - Y)

    net, random = classifier(), np.random.default_rng(3)
    Z, Y = random.standard_normal((9, 6, 6, 2)), random.standard_normal((9, 3))
    theta = net.init(0)
    own = Objective(net, Z, Y, Squared()).with_dropout(1, 2)
    compiled = Objective(net, Z, Y, "squared").with_dropout(1, 2)
    assert own(theta) == pytest.approx(compiled(theta), rel=1e-14)
    np.testing.assert_allclose(own.gradient(theta), compiled.gradient(theta), rtol=1e-9, atol=1e-12)


# the same for any number of threads, shards and processes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("side", "l"), [(6, 900), (100, 1), (70, 3)])
def test_same_bits_on_any_number_of_threads(dtype, side, l):
    found = set()
    for n_threads in THREADS:
        net = classifier(dtype=dtype, side=side)
        random = np.random.default_rng(0)
        Z = random.standard_normal((l, *net.input_shape)).astype(dtype)
        f = Objective(net, Z, np.arange(l) % 3, "softmax", n_threads=n_threads).with_dropout(4, 9)
        value, gradient = f.value_and_gradient(net.init(0))
        found.add((value, gradient.tobytes(), f.outputs(net.init(0)).tobytes()))
    assert len(found) == 1


def test_partial_sums_are_those_of_all_images():
    net = classifier()
    random = np.random.default_rng(0)
    Z, l = random.standard_normal((3000, *net.input_shape)), 3000
    f, theta = Objective(net, Z, np.arange(l) % 3, "softmax").with_dropout(4, 9), net.init(0)
    leaves = len(net.leaves(l))
    assert leaves > 2
    sums = f.partial_sums(theta, 0, 2) + pickle.loads(pickle.dumps(f)).partial_sums(
        theta, 2, leaves
    )
    value, gradient = f.from_partial_sums(theta, sums)
    expected = f.value_and_gradient(theta)
    assert value == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])


def test_masks_go_by_the_image_in_every_shard():
    net, theta = identity((8, 9, 3), 0.5)
    l = 700
    assert len(net.leaves(l)) > 2 and len(net.shards(l)) > 2
    f = Objective(net, ones(net, l), np.zeros((l, net.n_outputs))).with_dropout(8, 1)
    np.testing.assert_array_equal(f.outputs(theta), mask(net, 1, 0.5, 8, 1, range(l)))


@pytest.mark.parametrize("again", [copy.copy, lambda f: pickle.loads(pickle.dumps(f))])
def test_images_of_a_subset_keep_their_masks(again):
    net, theta = identity((3, 3, 2), 0.5)
    f = Objective(net, ones(net, 50), np.zeros((50, 18))).with_dropout(8, 1)
    z = f.outputs(theta)
    indices = np.array([40, 3, 3, 17, 49])
    part = again(f.subset(indices))
    np.testing.assert_array_equal(part.outputs(theta), z[indices])
    np.testing.assert_array_equal(again(part.subset([4, 1])).outputs(theta), z[[49, 3]])
    other = again(part.subset(slice(1, 4))).with_dropout(8, 2)
    np.testing.assert_array_equal(
        other.outputs(theta), f.with_dropout(8, 2).outputs(theta)[[3, 3, 17]]
    )
    np.testing.assert_array_equal(again(part).with_dropout(None).outputs(theta), 1)


# copies elsewhere


@pytest.mark.parametrize("dtype", DTYPES)
def test_forward_frozen_and_exported_networks_drop_nothing(dtype, tmp_path):
    net = classifier(dtype=dtype)
    without = Network(net.input_shape, [
        *net.layers[:1],
        Conv(3, 3, pad="same", inputs="a", name="c"),
        Add(inputs=["a", "c", "a"]),
        *(layer for layer in net.layers[5:] if layer.kind == "Dense"),
    ], dtype)  # fmt: skip
    theta = net.init(3)
    Z = np.random.default_rng(1).standard_normal((9, 6, 6, 2)).astype(dtype)
    expected = without.forward(theta, Z)
    np.testing.assert_array_equal(net.forward(theta, Z), expected)
    np.testing.assert_array_equal(net.predict(theta, Z), expected.argmax(1))
    np.testing.assert_array_equal(
        Objective(net, Z, np.zeros((9, 3), dtype)).outputs(theta), expected
    )
    frozen, other = net.freeze(theta), without.freeze(theta)
    np.testing.assert_array_equal(frozen(Z), other(Z))
    assert frozen.workspace_size(9) == other.workspace_size(9)
    net.export(theta, tmp_path / "net.matconv")
    np.testing.assert_array_equal(load_predictor(tmp_path / "net.matconv")(Z), other(Z))


@pytest.mark.parametrize(
    ("layers", "outputs"),
    [
        ([Dropout(0.5, name="a"), Conv(2, 3, name="b")], ["b"]),
        ([Conv(2, 3, name="a"), Dropout(0.5, name="b")], ["b"]),
        ([Conv(2, 3, name="a"), Dropout(0.5, name="b")], ["a", "b"]),
        ([Conv(2, 3, name="a"), Dropout(0.5), Dropout(0.2, name="b")], ["b", "a"]),
        ([Conv(2, 3), Dropout(0.5), Dropout(0.2), Activation("relu"), Dropout(0.1)], None),
        ([Conv(2, 3), Scale(activation="relu"), Dropout(0.5), Conv(3, 2), Scale()], None),
        ([Conv(2, 3), Dropout(0.5), Scale(activation="relu"), Dense(3)], None),
        ([Conv(2, 3, name="a"), Dropout(0.5, name="b"), Add(inputs=["a", "b"])], None),
        ([Conv(2, 3, name="a"), Dropout(0.5, name="b"), Scale(inputs="a", name="c"),
          Add(inputs=["b", "c"])], None),
    ],
)  # fmt: skip
def test_frozen_network_is_forward_wherever_dropout_is(layers, outputs):
    net = Network((5, 6, 2), layers, outputs=outputs)
    theta = net.init(0) + 0.25
    Z = np.random.default_rng(1).standard_normal((4, 5, 6, 2))
    expected, found = net.forward(theta, Z), net.freeze(theta)(Z)
    for one, other in zip(*(x if isinstance(x, tuple) else (x,) for x in (expected, found))):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)


# solvers


def test_sgd_drops_by_its_seed_and_the_epoch():
    f, theta = problem(l=32)
    result = minimize(f, theta, "sgd", 2, batch_size=16, momentum=0, learning_rate=0.1, seed=6)
    for epoch in range(2):
        order = np.random.default_rng([6, epoch]).permutation(32)
        for part in (order[:16], order[16:]):
            theta = theta - 0.1 * f.with_dropout(6, epoch).subset(part).gradient(theta)
    np.testing.assert_allclose(result.theta, theta, rtol=1e-12, atol=1e-14)


def test_sgd_seed_beyond_64_bits_is_accepted():
    f, theta = problem(l=16)
    options = {"batch_size": 16, "seed": 2**70 + 1}
    one, other = (minimize(f, theta, "sgd", 1, **options) for _ in range(2))
    np.testing.assert_array_equal(one.theta, other.theta)


def test_lbfgs_drops_nothing():
    f, theta = problem(l=20)
    result = minimize(f, theta, "lbfgs", 3)
    assert result.history[-1]["f"] == f(result.theta)


# arguments


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (1, ValueError, "Dropout: rate must be at least 0 and below 1, got 1"),
        (-0.1, ValueError, "Dropout: rate must be at least 0 and below 1, got -0.1"),
        (np.nan, ValueError, "Dropout: rate must be at least 0 and below 1, got nan"),
        ("half", TypeError, "Dropout: rate must be a number, got 'half' (str)"),
        (None, TypeError, "Dropout: rate must be a number, got None (NoneType)"),
        (True, TypeError, "Dropout: rate must be a number, got True (bool)"),
    ],
)
def test_dropout_bad_rate_raises(rate, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Dropout(rate)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1,), ValueError, "Objective: seed must be at least 0, got -1"),
        ((2**64,), ValueError, f"Objective: seed must be below 2^64, got {2**64}"),
        ((0.5,), TypeError, "Objective: seed must be an integer, got 0.5 (float)"),
        ((0, -1), ValueError, "Objective: epoch must be at least 0, got -1"),
        ((0, 2**64), ValueError, f"Objective: epoch must be below 2^64, got {2**64}"),
        ((0, None), TypeError, "Objective: epoch must be an integer, got None (NoneType)"),
    ],
)
def test_with_dropout_bad_argument_raises(arguments, error, message):
    f, _ = problem(l=2)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        f.with_dropout(*arguments)


def test_dropout_description_goes_through_json():
    net = classifier()
    assert Network.from_description(json.loads(json.dumps(net.description()))) == net
    assert repr(Dropout(0.5)) == "Dropout(rate=0.5)"
    assert "Dropout(0.25, inputs=a)" in net.summary()
