"""Network: the layout of theta, and outputs against plain loops."""

import hashlib
import json

import numpy as np
import pytest
from support import graph_reference
from support.networks import MIXED, images
from support.tolerances import assert_within, rounding_bound

from matconv import AvgPool, Conv, Dense, MaxPool, Network
from matconv.kernels.program import LOSSES
from matconv.presets import make_network


def test_algorithm_option_reaches_networks_of_fixtures(mixed, lenet, small, pytestconfig):
    option = pytestconfig.getoption("--algorithm")
    networks = mixed(), lenet(), small()[0].net
    assert [net.algorithm for net in networks] == [option] * 3


def test_unpack_shapes_follow_layers(mixed):
    net = mixed()
    assert net.output_shape == (3,)
    assert net.n_outputs == 3
    # conv 2*3*3*4+4, conv groups 2: 2*2*3*6+6, dense 6 channels of 4 x 2 pixels
    views = net.unpack(np.arange(net.n, dtype=float))
    shapes = [(W.shape, b.shape) for W, b in views]
    assert shapes == [
        ((2, 3, 3, 4), (4,)),
        ((2, 2, 3, 6), (6,)),
        ((3 * 2 * 6, 7), (7,)),
        ((7, 3), (3,)),
    ]
    assert net.n == sum(W.size + b.size for W, b in views)


def test_theta_is_vec_W_then_b_layer_by_layer(mixed):
    """theta = [vec(W^1); b^1; ...]: vec takes the columns of the notes' d_out x hhd matrix."""
    net = mixed()
    theta = net.init(3)
    parts = []
    for W, b in net.unpack(theta):
        matrix = W.reshape(-1, W.shape[-1]).T  # d_out x hhd
        parts += [matrix[:, column] for column in range(matrix.shape[1])] + [b]
    np.testing.assert_array_equal(np.concatenate(parts), theta)


@pytest.mark.catalogue(31)
def test_unpack_copies_nothing_and_outlives_theta(mixed):
    net = mixed()
    theta = net.init(0)
    W, b = net.unpack(theta)[1]
    W[0, 0, 0, 0] = 77
    b[:] = 5
    assert (theta == 77).sum() == 1 and (theta == 5).sum() == 6
    expected = W.copy()
    del theta
    np.testing.assert_array_equal(W, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_pack_is_the_inverse_of_unpack(dtype, mixed):
    net = mixed(dtype)
    theta = net.init(1)
    packed = net.pack(net.unpack(theta))
    assert packed.dtype == dtype and packed is not theta
    np.testing.assert_array_equal(packed, theta)


def test_init_is_he_and_seeded(lenet):
    net = lenet()
    theta = net.init(0)
    np.testing.assert_array_equal(theta, net.init(0))
    assert (theta != net.init(1)).any()
    for (W, b), fan_in in zip(net.unpack(theta), (25, 500, 800, 500)):
        assert (b == 0).all()
        # the variance of n normal numbers has relative standard deviation sqrt(2/n): 5 of them
        assert abs(W.var() * fan_in / 2 - 1) < 5 * np.sqrt(2 / W.size)
    single = lenet(np.float32).init(0)
    np.testing.assert_array_equal(single, theta.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("l", [0, 1, 5])
def test_forward_is_exact_on_integers(dtype, l):
    layers = [layer for layer in MIXED if layer.kind != "AvgPool"]
    net = Network((9, 8, 2), layers, dtype, algorithm="im2col")
    random = np.random.default_rng(l)
    theta = random.integers(-2, 3, net.n).astype(dtype)
    Z = random.integers(-4, 5, (l, *net.input_shape)).astype(dtype)
    # integers below 2^53 are exact in float64
    expected = graph_reference.forward(net, theta.astype(np.float64), Z.astype(np.float64))[-1]
    assert l == 0 or (expected != 0).mean() > 0.3
    result = net.forward(theta, Z)
    assert result.shape == (l, 3) and result.dtype == dtype
    np.testing.assert_array_equal(result, expected.reshape(l, 3))


def test_forward_without_a_dense_layer_is_images(algorithm):
    net = Network((6, 5, 2), [Conv(3, 3, activation="relu"), AvgPool(2)], algorithm=algorithm)
    assert net.output_shape == (2, 1, 3)
    Z, _ = images(net, 4)
    theta = net.init(0)
    expected = graph_reference.forward(net, theta, Z)[-1]
    # sums of 18 products and means of 4 elements, of both; the sums of absolute values
    size = graph_reference.forward(net, np.abs(theta), np.abs(Z))[-1]
    assert_within(net.forward(theta, Z), expected, rounding_bound(2 * (18 + 4), size))


def test_forward_many_images_has_the_same_bits_for_any_threads_and_layout(mixed):
    net = mixed()
    theta = net.init(0)
    Z, _ = images(net, 3 * net.shard_size + 7)
    expected = net.forward(theta, Z, n_threads=1)
    for n_threads in (2, 3, None):
        np.testing.assert_array_equal(net.forward(theta, Z, n_threads), expected)
    strided = np.repeat(Z, 2, axis=3)[..., ::2]
    np.testing.assert_array_equal(net.forward(theta, strided), expected)
    np.testing.assert_array_equal(net.forward(theta, Z.astype(">f8")), expected)


def test_predict_is_the_first_largest_output():
    net = Network((1, 1, 3), [Dense(3)])
    theta = net.pack([(np.eye(3), np.zeros(3))])
    Z = np.array([[1.0, 5, 2], [4, 1, 4], [0, 0, 0]]).reshape(3, 1, 1, 3)
    np.testing.assert_array_equal(net.predict(theta, Z), [1, 0, 0])


def test_read_only_theta_predicts(mixed):
    net = mixed()
    theta = net.init(0)
    Z, _ = images(net, 3)
    expected = net.predict(theta, Z)
    theta.flags.writeable = False
    np.testing.assert_array_equal(net.predict(theta, Z), expected)


@pytest.mark.parametrize(("stride", "n"), [(1, 7), (2, 7), (2, 8), (3, 7), (3, 2)])
def test_pad_same_gives_ceil_of_n_over_stride(stride, n, algorithm):
    for kernel in (1, 2, 3, 5):
        for dilation in (1, 2):
            net = Network(
                (n, n + 1, 1), [Conv(1, kernel, stride, "same", dilation)], algorithm=algorithm
            )
            assert net.output_shape == (-(-n // stride), -(-(n + 1) // stride), 1)
    assert Network((n, n, 1), [MaxPool(3, stride, "same")]).output_shape[0] == -(-n // stride)


def test_summary_says_everything(lenet):
    net = lenet()
    text = net.summary()
    lines = text.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith("-")] == [
        "layer", "input", "Conv(20,", "MaxPool(2)", "Conv(50,", "MaxPool(2)", "Dense(500,",
        "Dense(10)", "total", "workspace",
    ]  # fmt: skip
    assert "24 x 24 x 20" in text
    assert "520:25570" in text  # 20*25 + 20, then 50*500 + 50
    assert "288,000" in text  # 24*24*20 outputs of 25 products
    assert lines[-2].split() == ["total", "431,080", "2,293,000"]
    size = f"{net.program().training_bytes / 2**20:.1f}"
    assert lines[-1] == f"workspace  {size} MiB per thread, for at most 64 images at once"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_passes_write_within_the_bytes_that_the_program_names(dtype, mixed):
    net = mixed(dtype)
    program, l = net.program(), net.shard_size
    Z, y = images(net, l)
    theta, y = net.init(0), y.astype(np.intp)
    whole, guarded = {}, {}
    sizes = {
        "prepared": program.prepared_bytes,
        "training": program.training_bytes,
        "inference": program.inference_bytes,
    }
    for name, size in sizes.items():
        # a block begins at a multiple of 64 bytes, and so does the guard in front of it
        whole[name] = np.full(size + 3 * 64, 0xA5, np.uint8)
        start = 64 + -whole[name].ctypes.data % 64
        guarded[name] = whole[name][start : start + size]
    gradient, z = np.empty_like(theta), np.empty((l, 3), dtype)
    program.prepare(theta, guarded["prepared"], True)
    program.loss(
        LOSSES["softmax"], theta, guarded["prepared"], Z, y, l, guarded["training"], gradient
    )
    program.predict(theta, guarded["prepared"], Z, (z,), guarded["inference"])
    assert np.isfinite(gradient).all() and np.isfinite(z).all()
    for name, block in guarded.items():
        block[...] = 0xA5
        assert (whole[name] == 0xA5).all(), name


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_passes_read_nothing_that_was_in_their_blocks(dtype, mixed):
    net = mixed(dtype)
    program, l = net.program(), 3
    Z, y = images(net, l)
    theta, y = net.init(0), y.astype(np.intp)
    found = []
    for content in (0, 0xFF):  # every number of 0xFF bytes is a NaN
        prepared = np.full(program.prepared_bytes, content, np.uint8)
        block = np.full(program.training_bytes, content, np.uint8)
        short = np.full(program.inference_bytes, content, np.uint8)
        gradient = np.full_like(theta, np.nan if content else 0)
        z = np.full((l, 3), np.nan if content else 0, dtype)
        program.prepare(theta, prepared, True)
        f = program.loss(LOSSES["softmax"], theta, prepared, Z, y, l, block, gradient)
        program.predict(theta, prepared, Z, (z,), short)
        found.append((f, gradient.tobytes(), z.tobytes()))
    assert found[0] == found[1] and np.isfinite(found[0][0])


# of the theta of Network.init(3) in float64, then in float32, as versions 0.1 computed it
INITIAL = {
    "lenet": (
        "87284360bc1707c9378683f6e769d0ef137db2b7dcbf779cb52ef038c9e99569",
        "1dd33790b024b7fedd7812de4af3b5eeae04d36bfe41cf567fd3c34a9d062b3f",
    ),
    "digits": (
        "0e20e53411f0aa90fc17f97d7220302863b183e98b3ce5005f9bdab8c9746692",
        "545b5efbb21e436074758960cb5e5894fdd135bd216352cf00b39decbc5760fc",
    ),
    "simplenn-3": (
        "a1c931c4f444a251d816114600c2bccbde606d7dc5e6ecd6d443d504462f1af4",
        "994994974a57bc83d0a1626789c84ec3ca5b5fb103b6ee04b760debc028dde8d",
    ),
}


@pytest.mark.parametrize("name", INITIAL)
def test_init_of_a_preset_gives_the_recorded_theta(name):
    for dtype, expected in zip(("float64", "float32"), INITIAL[name], strict=True):
        theta = make_network(name, None, 10, dtype).init(3)
        assert hashlib.sha256(theta.tobytes()).hexdigest() == expected, dtype


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_description_round_trip(dtype, mixed):
    net = mixed(dtype)
    description = json.loads(json.dumps(net.description()))
    again = Network.from_description(description).with_algorithm(net.algorithm)
    assert again.description() == description
    assert (again.n, again.dtype, again.input_shape) == (net.n, net.dtype, net.input_shape)
    Z, _ = images(net, 2)
    theta = net.init(0)
    np.testing.assert_array_equal(again.forward(theta, Z), net.forward(theta, Z))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("layers"), "network: missing layers"),
        (lambda d: d.update(extra=1), "network: unknown extra"),
        (
            lambda d: d.update(dtype="float16"),
            "dtype must be 'float64' or 'float32', got 'float16'",
        ),
        (lambda d: d.update(layers={}), "layers must be a list"),
        (
            lambda d: d["layers"].__setitem__(0, 5),
            "layer 0: kind must be one of Activation, Add, .*, got None",
        ),
        (
            lambda d: d["layers"][0].update(kind="Pool"),
            "layer 0: kind must be one of .*, got 'Pool'",
        ),
        (lambda d: d["layers"][0].pop("channels"), r"layer 0 \(Conv\): missing channels"),
        (lambda d: d["layers"][1].update(size=3), r"layer 1 \(MaxPool\): unknown size"),
        (lambda d: d["layers"][0].update(kernel="x"), "kernel must be an integer or a pair"),
        (lambda d: d.update(input_shape=7), "input_shape must be"),
        (lambda d: d.update(input_shape=[2**40, 2**40, 1]), "elements for each image, at most"),
    ],
)
def test_from_description_says_what_is_wrong(change, message, mixed):
    description = mixed().description()
    change(description)
    with pytest.raises(ValueError, match=message):
        Network.from_description(description)


def test_from_description_of_nonsense():
    with pytest.raises(ValueError, match="network: a table is expected, got None"):
        Network.from_description(None)
