"""Every operation through a network: both passes against numpy, exactly on integers.

The image has one pixel, and a Conv with a kernel of the size of an image and its padding makes an
image of its weights. So the input of the operation is a part of theta, and the gradient for theta
holds the gradient for every element of it.
"""

import dataclasses
from zlib import crc32

import numpy as np
import pytest
from support import graph_reference
from support.activations import EXACT, EXAMPLES
from support.passes import passes
from support.tolerances import (
    assert_same,
    assert_same_bytes,
    assert_slope,
    assert_within,
    rounding_bound,
)

from matconv import (
    LRN,
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    ConvTranspose,
    Crop,
    Dense,
    Dropout,
    LogSoftmax,
    MaxPool,
    Multiply,
    Network,
    Normalize,
    Objective,
    Pad,
    PReLU,
    Scale,
    Slice,
    Softmax,
    Upsample,
)
from matconv.layers import LAYERS

DTYPES = [np.float64, np.float32]
# exact on integers
ACTIVATIONS = EXACT


def image(b, a, d, name="x"):
    """A layer that makes an image of its weights times the one pixel of the input."""
    return Conv(d, (b, a), pad=(b - 1, a - 1), bias=False, inputs="input", name=name)


def vector(units, name="x"):
    return Dense(units, bias=False, inputs="input", name=name)


def cases():
    """{name: layers}, the operation last."""
    x, odd, deep = image(5, 7, 3), image(7, 5, 1), image(6, 5, 4)
    three = [image(3, 5, 2), image(3, 5, 2, "y"), image(3, 5, 2, "z")]
    v = [vector(5), vector(5, "y"), vector(5, "z")]
    found = {}
    for number, sigma in enumerate(ACTIVATIONS):
        for bias in (False, True):
            options = {"activation": sigma, "bias": bias}
            key = f"{number}{'b' if bias else ''}"
            found |= {
                f"conv-{key}": [x, Conv(4, 3, **options)],
                f"conv-strided-{key}": [odd, Conv(2, (3, 2), (2, 1), ((1, 0), (2, 1)), **options)],
                f"conv-groups-{key}": [deep, Conv(6, (2, 3), 1, "same", 2, 2, **options)],
                f"conv-depthwise-{key}": [
                    deep,
                    Conv(8, 3, pad=1, groups=4, algorithm="auto", **options),
                ],
                f"conv-transpose-{key}": [
                    odd,
                    ConvTranspose(2, 3, (2, 1), 1, 1, (1, 0), **options),
                ],
                f"conv-transpose-groups-{key}": [
                    deep,
                    ConvTranspose(6, (2, 3), 1, ((1, 0), (0, 2)), 2, 0, 2, **options),
                ],
                f"conv-pixel-{key}": [image(1, 1, 3), Conv(2, 1, **options)],
                f"dense-{key}": [odd, Dense(7, **options)],
                f"dense-vector-{key}": [vector(5), Dense(1, **options)],
                f"scale-{key}": [x, Scale(**options)],
                f"scale-vector-{key}": [vector(5), Scale(**options)],
            }
        names, sigma_ = ["x", "y", "z"], {"activation": sigma}
        found |= {
            f"add-{number}": [*three, Add(inputs=names, **sigma_)],
            f"add-factors-{number}": [*three, Add(inputs=names, factors=(1, -1, 0.5), **sigma_)],
            f"add-vectors-{number}": [*v, Add(inputs=names, factors=(-2, 1, 1), **sigma_)],
            f"multiply-{number}": [*three, Multiply(inputs=names, **sigma_)],
            f"multiply-vectors-{number}": [*v[:2], Multiply(inputs=names[:2], **sigma_)],
        }
        if sigma is not None:
            found[f"activation-{number}"] = [x, Activation(sigma)]
            found[f"activation-vector-{number}"] = [vector(9), Activation(sigma)]
    channels = [image(3, 5, 1), image(3, 5, 3, "y"), image(3, 5, 2, "z")]
    for kind in (MaxPool, AvgPool):
        name = kind.kind.lower()
        found |= {
            f"{name}-2": [x, kind(2)],
            f"{name}-overlapping": [odd, kind((2, 2), 1)],
            f"{name}-padded": [deep, kind((2, 2), (1, 2), ((1, 0), (0, 1)))],
            f"{name}-same": [x, kind((1, 2), 2, "same")],
            f"{name}-gaps": [x, kind((2, 1), 3)],
        }
    return found | {
        "concat": [*channels, Concat(inputs=["x", "y", "z"])],
        "concat-vectors": [vector(1), vector(6, "y"), Concat(inputs=["y", "x"])],
        "dropout": [x, Dropout(0.5)],
        "dropout-vector": [vector(9), Dropout(0.25)],
        "crop": [x, Crop(((1, 0), (2, 1)))],
        "crop-like": [
            x,
            image(3, 2, 1, "y"),
            Crop(like="y", inputs="x"),
            Crop((1, 0), "y", inputs="x"),
            Add(inputs=["crop3", "crop4"]),
        ],
        "pad": [x, Pad(((1, 0), (2, 1)))],
        "slice": [deep, Slice(1, 3)],
        "slice-vector": [vector(6), Slice(2, 6)],
        "upsample": [odd, Upsample((2, 3))],
        "upsample-bilinear": [odd, Upsample((2, 4), "bilinear")],
        "upsample-aligned": [image(1, 3, 2), Upsample((2, 1), "bilinear", True)],
        "multiply-pixel": [x, image(1, 1, 3, "y"), Multiply(inputs=["y", "x"])],
        "multiply-vector": [x, vector(3, "v"), Multiply(inputs=["x", "v", "x"])],
        "avgpool-image": [x, AvgPool((1, 2), ceil=True, count_pad=True), MaxPool("image")],
        "crop-pixel": [x, Crop((2, 3))],
        "crop-nothing": [x, Crop(0)],
        "prelu": [x, PReLU()],
        "prelu-vector": [vector(5), PReLU()],
        # an input that another step reads as well: the operation adds to its gradient
        **{f"{name}-read-twice": layers for name, layers in _read_twice().items()},
    }


def _read_twice():
    """The operation reads x, and so does a later step."""
    x, y, v = image(5, 6, 4), image(5, 6, 4, "y"), vector(5)
    operations = {
        "conv": Conv(4, 3, pad=1, activation="relu"),
        "conv-groups": Conv(4, 3, pad=1, groups=2),
        "conv-strided": Conv(2, 2, stride=2),
        "scale": Scale(),
        "activation": Activation("relu"),
        "maxpool": MaxPool(2, 1, "same"),
        "avgpool": AvgPool((1, 2), 1, "same"),
        "crop": Crop(1),
        "dropout": Dropout(0.5),
        "dense": Dense(3),
        "prelu": PReLU(),
    }
    found = {}
    for name, layer in operations.items():
        chain = [x, type(layer)(**{**vars(layer), "name": "op", "inputs": "x"})]
        found[name] = [
            *chain, Dense(2, inputs="x", name="d1"), Dense(2, inputs="op", name="d2"),
            Add(inputs=["d1", "d2"]),
        ]  # fmt: skip
    return found | {
        "add": [x, y, Add(inputs=["x", "y", "x"], factors=(2, 1, -1)), Add(inputs=["add3", "x"])],
        "multiply": [x, y, Multiply(inputs=["x", "y", "x"]), Add(inputs=["multiply3", "x"])],
        "concat": [x, Concat(inputs=["x", "x"], name="c"), Dense(1, name="d1"),
                   Dense(1, inputs="x", name="d2"), Add(inputs=["d1", "d2"])],
        "dense-vector": [v, Dense(5, name="d"), Add(inputs=["d", "x"])],
    }  # fmt: skip


def rounded_cases():
    """{name: layers} as `cases`, whose results are rounded in the course of the computation."""
    x, wide, v = image(5, 4, 3), image(2, 3, 9), vector(6)
    operations = {
        "lrn": LRN(3, 1, 0.5, 0.75), "lrn-even": LRN(4, 0.5, 1, 0.5), "lrn-one": LRN(1, 2, 1, 1),
        "lrn-power": LRN(2, 1, 2, 0.6), "lrn-all": LRN(100, 1, 0.25, 1.5),
        "softmax": Softmax(), "log-softmax": LogSoftmax(),
        "normalize": Normalize(), "normalize-epsilon": Normalize(epsilon=0.5),
        "normalize-3": Normalize(3), "normalize-1": Normalize(1, 0.25),
    }  # fmt: skip
    found = {}
    for name, layer in operations.items():
        found |= {
            f"{name}": [x, layer],
            f"{name}-wide": [wide, layer],
            f"{name}-vector": [v, layer],
        }
    for p in (1, 2, 2.5):
        found[f"normalize-spatial-{p}"] = [x, Normalize(p, 0.125, spatial=True)]
    for layer in (LRN(3, 1, 0.5, 0.75), Softmax(), LogSoftmax(), Normalize()):
        found[f"{layer.kind}-read-twice"] = [
            x, dataclasses.replace(layer, name="op", inputs="x"), Add(inputs=["op", "x"]),
        ]  # fmt: skip
    for number, sigma in enumerate(EXAMPLES):
        options = {"activation": sigma}
        found |= {
            f"conv-{number}": [x, Conv(4, 3, **options)],
            f"dense-{number}": [x, Dense(7, **options)],
            f"scale-{number}": [x, Scale(**options)],
            f"add-{number}": [x, image(5, 4, 3, "y"), Add(inputs=["x", "y"], **options)],
            f"activation-{number}": [x, Activation(sigma)],
            f"activation-read-twice-{number}": [
                x,
                Activation(sigma, name="op"),
                Add(inputs=["op", "x"]),
            ],
        }
    return found


CASES = cases()
ROUNDED = rounded_cases()
SHAPE = (1, 1, 1)


def layers_of(name):
    return CASES[name] if name in CASES else ROUNDED[name]


def network(name, dtype, algorithm="im2col"):
    return Network(SHAPE, layers_of(name), dtype, algorithm)


def integers(net, name):
    """theta, Z, a gradient of the output, and that for theta; multiples of 4 where means are taken."""
    random, l = np.random.default_rng(crc32(name.encode())), 3
    unit = 4 if "avgpool" in name else 1
    for _ in range(100):
        theta = unit * random.integers(-4, 5, net.n)
        Z = np.array([1, 2, -1]).reshape(l, *SHAPE)
        dz = unit * random.integers(-4, 5, (l, *net.output_shape))
        arrays = [array.astype(net.dtype) for array in (theta, Z, dz)]
        gradient = graph_reference.gradient(net, *arrays, net.names[-1])
        if np.count_nonzero(gradient) >= 3:  # a comparison of zeros says nothing
            return *arrays, gradient
    raise AssertionError("no gradient with 3 elements that are not 0")


def test_cases_have_every_operation():
    kinds = {layer.kind for cases in (CASES, ROUNDED) for x in cases.values() for layer in x}
    assert kinds == set(LAYERS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_operation_integers_exact_in_both_passes(name, dtype):
    net = network(name, dtype)
    theta, Z, dz, gradient = integers(net, name)
    expected = graph_reference.forward(net, theta, Z)[-1]
    assert_same(net.forward(theta, Z), expected, "forward")
    z, dtheta = passes(net, theta, Z, dz)
    assert_same(z, expected.reshape(len(Z), -1), "forward for a gradient")
    assert_same(dtheta, gradient, "gradient")


# roundings on the way to an element and back, times the sizes of what is added: below 50 elements
# of size up to 10 in a sum, exponentials with relative errors of a few eps, 3 layers
ROUNDINGS = 2000


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROUNDED)
def test_operation_rounded_is_within_the_bound_in_both_passes(name, dtype):
    net, exact = network(name, dtype), network(name, np.float64)
    random = np.random.default_rng(crc32(name.encode()))
    theta = random.standard_normal(net.n).astype(dtype)
    Z = random.uniform(0.5, 1.5, (3, *SHAPE)).astype(dtype)
    dz = random.standard_normal((3, *net.output_shape)).astype(dtype)
    # in extended precision
    wide = [array.astype(np.longdouble) for array in (theta, Z, dz)]
    expected = graph_reference.forward(exact, *wide[:2])[-1]
    gradient = graph_reference.gradient(exact, *wide, exact.names[-1])
    z, dtheta = passes(net, theta, Z, dz)
    assert_same(net.forward(theta, Z).reshape(3, -1), z)
    size = max(1, np.abs(expected).max()), max(1, np.abs(gradient).max())
    assert_within(z, expected.reshape(3, -1), rounding_bound(ROUNDINGS, size[0], dtype))
    assert_within(dtheta, gradient, rounding_bound(ROUNDINGS, size[1], dtype))


@pytest.mark.parametrize("name", [*CASES, *ROUNDED])
def test_operation_gradient_is_that_of_central_differences(name):
    net = network(name, np.float64, "auto")
    random = np.random.default_rng(crc32(name.encode()))
    Z, Y = random.standard_normal((3, *SHAPE)), random.standard_normal((3, net.n_outputs))
    f = Objective(net, Z, Y)
    found, h = 0, 1e-5
    for _ in range(100):
        theta = random.standard_normal(net.n)
        gradient = f.gradient(theta)
        if not gradient.any():  # all on the flat pieces of the activation
            continue
        direction = random.standard_normal(net.n) / np.sqrt(net.n)
        direction += gradient / np.linalg.norm(gradient)
        ends = [theta - h * direction, theta + h * direction]
        if len({graph_reference.pieces(net, one, Z) for one in (theta, *ends)}) > 1:
            continue
        derivative = gradient @ direction
        difference = (f(ends[1]) - f(ends[0])) / (2 * h)
        assert_slope(difference, derivative, abs(derivative))
        found += 1
        if found == 3:
            return
    raise AssertionError(f"only {found} of 100 thetas were away from kinks")


SEVERAL_SIZES = ("crop-like", "multiply-vector")


def on_pixels(name, dtype):
    """The network of a case with x the input times gains, and others convolutions of its pixels."""
    first, *layers = layers_of(name)
    is_image = isinstance(first, Conv)
    made = [Scale(inputs="input", bias=False, name="x")]
    for layer in layers:
        if layer.inputs != ("input",):
            made.append(layer)
        elif is_image:
            made.append(Conv(layer.channels, 1, inputs="x", name=layer.name))
        else:
            made.append(Dense(layer.units, inputs="x", name=layer.name))
    shape = (*first.kernel, first.channels) if is_image else (1, 1, first.units)
    if not is_image:
        made[0] = Dense(first.units, inputs="input", name="x")
    return Network(shape, made, dtype, "im2col")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "-inf"])
# not those that read images of several sizes, which are no functions of the pixels of one
@pytest.mark.parametrize("name", [name for name in (*CASES, *ROUNDED) if name not in SEVERAL_SIZES])
def test_operation_not_finite_pixel_propagates(name, value, dtype):
    net = on_pixels(name, dtype)
    random = np.random.default_rng(7)
    theta = random.uniform(0.5, 2, net.n).astype(dtype)
    Z = random.uniform(0.5, 2, (3, *net.input_shape)).astype(dtype)
    # not in the last image: it does not get what belongs to the others
    Z[0].flat[0] = Z[1, -1, -1, -1] = value
    with np.errstate(invalid="ignore"):
        expected = graph_reference.forward(net, theta, Z)[-1]
    z = net.forward(theta, Z)
    for what in (np.isnan, np.isposinf, np.isneginf):
        assert_same(what(z), what(expected), what.__name__)
    assert np.isfinite(z[2]).all()


@pytest.mark.parametrize("name", [*CASES, *ROUNDED])
def test_operation_no_images_gives_no_rows(name):
    net = network(name, np.float64)
    z = net.forward(np.ones(net.n), np.empty((0, *SHAPE)))
    assert z.shape == (0, *net.output_shape)


UNFUSED = {
    "conv": [image(6, 5, 2), Conv(3, 3)],
    "conv-winograd": [image(9, 8, 2), Conv(3, 3, algorithm="winograd")],
    "dense": [image(3, 5, 2), Dense(7)],
    "scale": [image(3, 5, 2), Scale()],
    "add": [image(3, 5, 2), image(3, 5, 2, "y"), Add(inputs=["x", "y"], factors=(1, -0.3))],
    "multiply": [image(3, 5, 2), image(3, 5, 2, "y"), Multiply(inputs=["x", "y"])],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sigma", [*ACTIVATIONS[1:], *EXAMPLES], ids=repr)
@pytest.mark.parametrize("name", UNFUSED)
def test_activation_of_a_layer_has_the_bits_of_a_layer_of_its_own(name, sigma, dtype):
    *before, layer = UNFUSED[name]
    fused = Network(SHAPE, [*before, type(layer)(**{**vars(layer), "activation": sigma})], dtype)
    unfused = Network(SHAPE, [*before, layer, Activation(sigma)], dtype)
    random = np.random.default_rng(3)
    theta = (3 * random.standard_normal(fused.n)).astype(dtype)
    Z = random.standard_normal((4, *SHAPE)).astype(dtype)
    dz = random.standard_normal((4, *fused.output_shape)).astype(dtype)
    for one, other in zip(passes(fused, theta, Z, dz), passes(unfused, theta, Z, dz)):
        if "conv" in name or name == "dense":
            # db is summed in the pass of the activation, or by the convolution
            assert_within(one, other, rounding_bound(1000, 1, dtype), name)
        else:
            assert_same_bytes(one, other)
    assert_same_bytes(fused.forward(theta, Z), unfused.forward(theta, Z))


@pytest.mark.parametrize("dtype", DTYPES)
def test_multiply_zero_among_inputs_gradient_exact(dtype):
    net = Network(SHAPE, [vector(3), vector(3, "y"), Multiply(inputs=["x", "y"])], dtype)
    theta = np.array([0, 2, 3, 5, 0, 0], dtype)
    _, dtheta = passes(net, theta, np.ones((1, *SHAPE), dtype), np.ones((1, 3)))
    np.testing.assert_array_equal(dtheta, [5, 0, 0, 0, 2, 3])
