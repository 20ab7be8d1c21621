"""Presets: numbers of parameters, shapes, initial values, narrow versions, bad arguments."""

import json
import re

import numpy as np
import pytest

from matconv import Network, Objective, presets
from matconv.presets import PRESETS, make_network
from matconv.presets.chain import Chain

# by name on the command line: parameters and output for the usual images; 10 classes for small
# images, 1000 for large ones
COUNTS = {
    "digits": (9_930, (10,)),
    "lenet": (431_080, (10,)),
    "lenet-matconvnet": (431_080, (1, 1, 10)),
    "simplenn-3": (68_106, (10,)),
    "simplenn-4": (68_106, (10,)),
    "simplenn-7": (198_378, (10,)),
    "cifar-quick": (145_578, (1, 1, 10)),
    "nin-cifar": (966_986, (1, 1, 10)),
    "alexnet-paper": (60_965_224, (1000,)),
    "alexnet-caffe": (60_965_224, (1000,)),
    "alexnet-caffenet": (60_965_224, (1000,)),
    "alexnet-torchvision": (61_100_840, (1000,)),
    "vgg11": (132_863_336, (1000,)),
    "vgg13": (133_047_848, (1000,)),
    "vgg16": (138_357_544, (1000,)),
    "vgg19": (143_667_240, (1000,)),
    "squeezenet-1.0": (1_248_424, (1, 1, 1000)),
    "squeezenet-1.1": (1_235_496, (1, 1, 1000)),
    "googlenet": (6_998_552, (1000,)),
    "resnet18": (11_689_512, (1000,)),
    "resnet34": (21_797_672, (1000,)),
    "resnet50": (25_557_032, (1000,)),
    "mobilenet-v2": (3_504_872, (1000,)),
    "dncnn17": (556_097, (40, 40, 1)),
}
# small networks of each family for images of 68 x 68 x 2, which are large enough for all
NARROW = {
    "lenet": lambda **options: presets.lenet(5, **options),
    "lenet_matconvnet": lambda **options: presets.lenet_matconvnet(5, **options),
    "simplenn": lambda **options: presets.simplenn(7, 5, **options),
    "cifar_quick": lambda **options: presets.cifar_quick(5, **options),
    "vgg": lambda **options: presets.vgg(11, 5, width=1 / 16, **options),
    "alexnet": lambda **options: presets.alexnet("paper", 5, width=0.125, **options),
    "caffenet": lambda **options: presets.alexnet("caffenet", 5, width=0.125, **options),
    "alexnet_torchvision": (
        lambda **options: presets.alexnet("torchvision", 5, width=0.125, **options)
    ),
    "googlenet": lambda **options: presets.googlenet(5, width=0.125, **options),
    "squeezenet": lambda **options: presets.squeezenet("1.0", 5, width=0.25, **options),
    "resnet": lambda **options: presets.resnet(18, 5, width=0.125, **options),
    "bottleneck": lambda **options: presets.resnet(50, 5, width=0.0625, **options),
    "mobilenet_v2": lambda **options: presets.mobilenet_v2(5, width=0.125, **options),
    "dncnn": lambda **options: presets.dncnn(4, width=0.125, **options),
}

# names of networks with a width
NARROWED = [
    "alexnet-paper", "alexnet-caffe", "alexnet-caffenet", "alexnet-torchvision",
    "vgg11", "vgg13", "vgg16", "vgg19", "squeezenet-1.0", "squeezenet-1.1", "googlenet", "resnet18", "resnet34",
    "resnet50", "mobilenet-v2", "dncnn17",
]  # fmt: skip


def classes_of(name):
    return 10 if PRESETS[name].input_shape[0] < 100 else 1000


@pytest.mark.parametrize("name", PRESETS)
def test_preset_has_its_number_of_parameters(name):
    net = make_network(name, None, classes_of(name))
    assert (net.n, net.output_shape) == COUNTS[name]
    assert net.input_shape == PRESETS[name].input_shape and net.dtype == np.float64


@pytest.mark.parametrize(
    ("net", "count"),
    [
        (presets.vgg(11, 10, (32, 32, 3)), 28_144_010),
        (presets.vgg(16, 10, (32, 32, 3)), 33_638_218),
        (presets.mobilenet_v2(width=0.5), 1_968_680),
        (presets.resnet(18, classes=10), 11_181_642),
    ],
)
def test_variant_has_its_number_of_parameters(net, count):
    assert net.n == count


def test_functions_have_the_defaults_of_the_list():
    for preset in PRESETS.values():
        shape = preset.function(*preset.arguments).input_shape
        assert shape == preset.input_shape


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_narrow_network_has_a_finite_gradient_and_a_description(name, dtype):
    net = NARROW[name](input_shape=(68, 68, 2), dtype=dtype)
    assert net.dtype == dtype and net.n < 6_000_000
    assert Network.from_description(json.loads(json.dumps(net.description()))) == net
    random = np.random.default_rng(0)
    Z = random.standard_normal((2, 68, 68, 2)).astype(dtype)
    Y = random.standard_normal((2, net.n_outputs)).astype(dtype)
    f, theta = Objective(net, Z, Y).with_dropout(0), net.init(0)
    value, gradient = f.value_and_gradient(theta)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    # each array of parameters has an influence
    for views in net.unpack(gradient):
        assert all(np.count_nonzero(view) for view in views)


# standard deviation of W, by the elements K of a column and the channels d, and biases
def he(K, d):
    return np.sqrt(2 / K)


def constant(value):
    return lambda K, d: value


def uniform(K, d):
    return np.sqrt(1 / (3 * K))


def check(net, expected):
    """Compare the initial values of layers, by index among those with W, with the expected ones."""
    filters = [views for views in net.unpack(net.init(0)) if "W" in views._fields]
    for k, (deviation, bias) in expected.items():
        W = filters[k].W
        d = W.shape[-1]
        wanted = deviation(W.size // d, d)
        assert abs(W.std() / wanted - 1) < 4 / np.sqrt(2 * W.size), k
        assert abs(W.mean()) < 4 * wanted / np.sqrt(W.size), k
        assert bias is None or (filters[k].b == bias).all(), k
    for views in net.unpack(net.init(0)):
        if "gain" in views._fields:
            assert (views.gain == 1).all() and (views.bias == 0).all()


def test_lenet_matconvnet_has_its_initial_values():
    check(presets.lenet_matconvnet(), {k: (constant(0.01), 0) for k in range(4)})


def test_cifar_quick_has_its_initial_values():
    wanted = {k: (constant(0.05), 0) for k in range(1, 5)}
    check(presets.cifar_quick(), {0: (constant(0.01), 0), **wanted})


def test_nin_cifar_has_its_initial_values():
    check(presets.nin_cifar(), {0: (he, 0), 5: (he, 0), -1: (lambda K, d: 0.1 * np.sqrt(2 / K), 0)})


def test_vgg_has_its_initial_values():
    def fan_out(K, d):
        return np.sqrt(2 / (9 * d))

    net = presets.vgg(11, 10, (32, 32, 3), width=0.25)
    wanted = {k: (fan_out, 0) for k in range(8)}
    check(net, wanted | {k: (constant(0.01), 0) for k in (8, 9, 10)})


@pytest.mark.parametrize(
    ("variant", "bias", "hidden"),
    [("paper", 1, 0.01), ("caffe", 0.1, 0.005), ("caffenet", 1, 0.005)],
)
@pytest.mark.parametrize("width", [1, 0.25])
def test_alexnet_has_its_initial_values(variant, bias, hidden, width):
    net, factor = presets.alexnet(variant, 10, (67, 67, 3), width=width), width**-0.5
    wide, hidden = constant(0.01 * factor), constant(hidden * factor)
    check(net, {
        0: (constant(0.01), 0), 1: (wide, bias), 2: (wide, 0), 3: (wide, bias), 4: (wide, bias),
        5: (hidden, bias), 6: (hidden, bias), 7: (wide, 0),
    })  # fmt: skip


def test_alexnet_variants_differ_in_lrn_and_its_place():
    for variant, k, alpha, kinds in (
        ("paper", 2, 1e-4, ["LRN", "MaxPool"]),
        ("caffe", 1, 2e-5, ["LRN", "MaxPool"]),
        ("caffenet", 1, 2e-5, ["MaxPool", "LRN"]),
    ):
        layers = presets.alexnet(variant, 10, (67, 67, 3), width=0.25).layers
        assert [layer.kind for layer in layers[1:3]] == kinds
        found = [(x.size, x.k, x.alpha, x.beta) for x in layers if x.kind == "LRN"]
        assert found == [(5, k, pytest.approx(alpha, rel=1e-15), 0.75)] * 2
    assert presets.alexnet().input_shape == (227, 227, 3)


def test_alexnet_torchvision_has_its_initial_values():
    net = presets.alexnet("torchvision", 10, (67, 67, 3), width=0.25)
    check(net, {k: (uniform, 0) for k in range(8)})


def test_googlenet_has_its_initial_values():
    def xavier(K, d):
        return np.sqrt(1 / K)

    net = presets.googlenet(10, (64, 64, 3), width=0.5)
    check(net, {0: (xavier, 0.2), 5: (xavier, 0.2), -1: (xavier, 0)})


def test_resnet_has_its_initial_values():
    net = presets.resnet(18, 10, (32, 32, 3))
    check(net, {
        0: (lambda K, d: np.sqrt(2 / (49 * d)), None),
        5: (lambda K, d: np.sqrt(2 / (9 * d)), None),
        7: (lambda K, d: np.sqrt(2 / d), None),
        -1: (uniform, 0),
    })  # fmt: skip


def test_squeezenet_has_its_initial_values():
    check(presets.squeezenet(), {0: (he, 0), 3: (he, 0), -1: (constant(0.01), 0)})


def test_mobilenet_has_its_initial_values():
    net = presets.mobilenet_v2()
    check(net, {
        0: (lambda K, d: np.sqrt(2 / (9 * d)), None),
        1: (lambda K, d: np.sqrt(2 / (9 * d)), None),
        2: (lambda K, d: np.sqrt(2 / d), None),
        -1: (constant(0.01), 0),
    })  # fmt: skip


def test_dncnn_subtracts_the_noise():
    net = presets.dncnn()
    check(net, {k: (constant(np.sqrt(2 / 576)), None) for k in (0, 1, 16)})
    theta, Z = np.zeros(net.n), np.random.default_rng(0).standard_normal((2, 40, 40, 1))
    theta[-1] = 0.25
    np.testing.assert_array_equal(net.forward(theta, Z), Z - 0.25)


@pytest.mark.parametrize("size", range(5, 30))
def test_chain_knows_the_size(size):
    chain = Chain("net", (size, size + 3, 2))
    chain.conv(3, 3, 2, 1)
    chain.max_pool(3, 2, 1)
    chain.max_pool(2, 2, ceil=True)
    net = Network((size, size + 3, 2), chain.layers)
    assert net.output_shape == (*chain.size, 3)
    # Caffe's rule: ceil((n - 2) / 2) + 1
    before = Network((size, size + 3, 2), chain.layers[:2]).output_shape
    assert chain.size == tuple(-(-(n - 2) // 2) + 1 for n in before[:2])
    chain.global_pool()
    assert Network((size, size + 3, 2), chain.layers).output_shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: presets.vgg(12), ValueError, "vgg: depth must be one of 11, 13, 16, 19, got 12"),
        (lambda: presets.vgg(width=0), ValueError, "vgg: width must be positive and finite, got 0"),
        (
            lambda: presets.resnet(18, width="1"),
            TypeError,
            "resnet: width must be a number, got '1' (str)",
        ),
        (
            lambda: presets.alexnet("zf"),
            ValueError,
            "alexnet: variant must be one of paper, caffe, caffenet, torchvision, got 'zf'",
        ),
        (lambda: presets.resnet(101), ValueError, "resnet: depth must be one of 18, 34, 50, got 101"),
        (
            lambda: presets.squeezenet(1.1),
            ValueError,
            "squeezenet: version must be one of 1.0, 1.1, got 1.1",
        ),
        (
            lambda: presets.squeezenet(input_shape=(5, 5, 3)),
            ValueError,
            "squeezenet: the images are too small for the network",
        ),
        (
            lambda: presets.mobilenet_v2(width=np.inf),
            ValueError,
            "mobilenet_v2: width must be positive and finite, got inf",
        ),
        (
            lambda: presets.simplenn(5),
            ValueError,
            "simplenn: depth must be one of 3, 4, 7, got 5",
        ),
        (lambda: presets.dncnn(1), ValueError, "dncnn: depth must be at least 2, got 1"),
        (
            lambda: presets.lenet(0),
            ValueError,
            "Dense: units must be at least 1, got 0",
        ),
        (
            lambda: presets.resnet(input_shape=(32, 32)),
            ValueError,
            "Network: input_shape must be (height, width, channels), got (32, 32)",
        ),
        (
            lambda: make_network("lenet", None, 10, width=0.5),
            ValueError,
            f"--width goes with --network {', '.join(NARROWED)}, got 'lenet'",
        ),
    ],
)  # fmt: skip
def test_preset_bad_argument_raises(make, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


def test_network_for_smaller_images_enlarges_them_first():
    net = presets.dncnn(4, input_shape=(12, 15, 2), width=0.125)
    small = presets.for_smaller_images(net, (4, 5, 2))
    theta, Z = net.init(0), np.random.default_rng(0).standard_normal((3, 4, 5, 2))
    expected = net.forward(theta, Z.repeat(3, 1).repeat(3, 2))
    np.testing.assert_array_equal(small.forward(theta, Z), expected)
    assert presets.for_smaller_images(net, (12, 15, 2)) is net


@pytest.mark.parametrize("shape", [(5, 5, 2), (4, 4, 2), (4, 5, 1), (24, 15, 2)])
def test_network_for_images_that_do_not_fit_is_refused(shape):
    net = presets.dncnn(4, input_shape=(12, 15, 2), width=0.125)
    text = " x ".join(map(str, shape))
    message = f"images of {text} cannot be enlarged to 12 x 15 x 2: the height and the width must"
    with pytest.raises(ValueError, match=message):
        presets.for_smaller_images(net, shape)
