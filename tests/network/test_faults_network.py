"""Bad input to Network: theta, layers, shapes and dtypes."""

import numpy as np
import pytest
from support.errors import raises
from support.networks import images, mixed

from matconv import AvgPool, Conv, Dense, LeakyReLU, MaxPool, Network, Objective
from matconv.activations import ACTIVATIONS, FUNCTIONS, SHORT_NAMES

catalogue = pytest.mark.catalogue


@catalogue(28)
@pytest.mark.parametrize("difference", [-1, 1])
def test_theta_of_another_length(difference):
    net = mixed()
    Z, y = images(net, 2)
    theta = np.zeros(net.n + difference)
    message = f"theta must have {net.n} elements, one for each parameter, got {net.n + difference}"
    calls = (
        lambda: net.forward(theta, Z),
        lambda: net.predict(theta, Z),
        lambda: net.unpack(theta),
        lambda: Objective(net, Z, y)(theta),
        lambda: Objective(net, Z, y).value_and_gradient(theta),
        lambda: Objective(net, Z, y).outputs(theta),
    )
    for call in calls:
        with raises(ValueError, message):
            call()


@catalogue(28)
def test_theta_of_another_shape():
    net = mixed()
    with raises(ValueError, f"theta must be a vector, got shape (1, {net.n})"):
        net.forward(np.zeros((1, net.n)), images(net, 1)[0])


@catalogue(29)
def test_theta_of_another_dtype():
    net = mixed()
    Z, _ = images(net, 2)
    with raises(TypeError, "theta is float32, the network computes in float64"):
        net.forward(np.zeros(net.n, np.float32), Z)
    with raises(TypeError, "theta must be float64 or float32, got int64"):
        net.forward(np.zeros(net.n, np.int64), Z)
    with raises(TypeError, "Network: theta must be an array of float64 or float32, got None"):
        net.forward(None, Z)
    with raises(TypeError, "theta must be an ndarray, got list"):
        net.unpack([0.0] * net.n)


def test_unpack_of_a_strided_theta():
    net = mixed()
    with raises(ValueError, "theta must be contiguous to be seen as views"):
        net.unpack(np.zeros(2 * net.n)[::2])


def test_pack_names_the_layer():
    net = mixed()
    parameters = net.unpack(net.init(0))
    with raises(
        ValueError, "4 tuples of parameters expected, one per layer with parameters, got 3"
    ):
        net.pack(parameters[:3])
    wrong = [*parameters[:1], (parameters[1][0], np.zeros(5)), *parameters[2:]]
    with raises(ValueError, "layer 2 (Conv): b must have shape (6,), got (5,)"):
        net.pack(wrong)
    wrong = [(parameters[0][0].astype(np.float32), parameters[0][1]), *parameters[1:]]
    with raises(TypeError, "layer 0 (Conv): W is float32, the network computes in float64"):
        net.pack(wrong)


@catalogue(30)
def test_read_only_theta_is_no_error():
    net = mixed()
    Z, y = images(net, 3)
    theta = net.init(0)
    expected = Objective(net, Z, y).value_and_gradient(theta)
    theta.flags.writeable = False
    value, gradient = Objective(net, Z, y).value_and_gradient(theta)
    assert value == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])


@catalogue(32)
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least one layer is needed, got none"),
        (
            [Conv(4, 3), Conv(4, 7)],
            (
                "layer 1 (Conv) on images 6 x 6 x 4: padded input (6 x 6) is smaller than the kernel "
                "(7 x 7)"
            ),
        ),
        (
            [Conv(4, 3), MaxPool(4), MaxPool(2)],
            (
                "layer 2 (MaxPool) on images 1 x 1 x 4: padded input (1 x 1) is smaller than the "
                "window (2 x 2)"
            ),
        ),
        (
            [Conv(6, 3, groups=3)],
            (
                "layer 0 (Conv) on images 8 x 8 x 2: groups 3 must divide the 2 input channels and "
                "the 6 output channels"
            ),
        ),
    ],
)
def test_layers_that_do_not_fit(layers, message):
    with raises(ValueError, message):
        Network((8, 8, 2), layers)


PAIR = "must be an integer or a pair (height, width), got"
ACTIVATION = f"{', '.join(map(repr, (*FUNCTIONS, *SHORT_NAMES)))}, {', '.join(ACTIVATIONS)} or None"
SIDES = "an integer, a pair (height, width) or ((top, bottom), (left, right))"

# class, arguments, error and message of a layer that is wrong whatever the images are
WRONG_LAYERS = (
    (MaxPool, {"window": 0}, ValueError, "window height and width must be at least 1, got 0 x 0"),
    (MaxPool, {"window": 2, "stride": 0}, ValueError, "stride must be at least 1, got 0 x 0"),
    (
        MaxPool,
        {"window": 2, "pad": 2},
        ValueError,
        "pad ((2, 2), (2, 2)) must be smaller than the window (2 x 2)",
    ),
    (
        AvgPool,
        {"window": (2, 3), "pad": ((0, 0), (0, 3))},
        ValueError,
        "pad ((0, 0), (0, 3)) must be smaller than the window (2 x 3)",
    ),
    (AvgPool, {"window": 2, "pad": -1}, ValueError, "pad must be at least 0, got -1, -1, -1, -1"),
    (AvgPool, {"window": "2"}, TypeError, f"window {PAIR} '2' (str)"),
    (AvgPool, {"window": 2, "stride": "2"}, TypeError, f"stride {PAIR} '2' (str)"),
    (Conv, {"channels": 4, "kernel": 1.5}, TypeError, f"kernel {PAIR} 1.5 (float)"),
    (Conv, {"channels": 4, "kernel": None}, TypeError, f"kernel {PAIR} None (NoneType)"),
    (Conv, {"channels": 4, "kernel": {3: 0, 5: 0}}, TypeError, f"kernel {PAIR} {{3: 0, 5: 0}} (d"),
    (Conv, {"channels": 4, "kernel": (3, 1.0)}, TypeError, f"kernel {PAIR} 1.0 (float)"),
    (Conv, {"channels": 4, "kernel": [3]}, ValueError, f"kernel {PAIR} length 1"),
    (Conv, {"channels": 4, "kernel": (3, 3, 3)}, ValueError, f"kernel {PAIR} length 3"),
    (Conv, {"channels": 0, "kernel": 3}, ValueError, "output channels must be at least 1, got 0"),
    (Conv, {"channels": 4.0, "kernel": 3}, TypeError, "channels must be an integer, got 4.0 (flo"),
    (Conv, {"channels": None, "kernel": 3}, TypeError, "channels must be an integer, got None (No"),
    (
        Conv,
        {"channels": 4, "kernel": (0, 3)},
        ValueError,
        "kernel height and width must be at least 1, got 0 x 3",
    ),
    (
        Conv,
        {"channels": 4, "kernel": 3, "groups": 0},
        ValueError,
        "groups must be at least 1, got 0",
    ),
    (
        Conv,
        {"channels": 4, "kernel": 3, "groups": -2},
        ValueError,
        "groups must be at least 1, got -2",
    ),
    (
        Conv,
        {"channels": 4, "kernel": 3, "groups": 3},
        ValueError,
        "groups 3 must divide the 4 output channels",
    ),
    (Conv, {"channels": 4, "kernel": 3, "stride": True}, TypeError, f"stride {PAIR} True (bool)"),
    (
        Conv,
        {"channels": 4, "kernel": 3, "dilation": (1, 0)},
        ValueError,
        "dilation must be at least 1, got 1 x 0",
    ),
    (
        Conv,
        {"channels": 4, "kernel": 3, "pad": "full"},
        ValueError,
        "pad must be sizes or 'same', got 'full'",
    ),
    (
        Conv,
        {"channels": 4, "kernel": 3, "pad": ((1, 1), 1.5)},
        TypeError,
        f"pad must be {SIDES}, got 1.5 (float)",
    ),
    (
        Conv,
        {"channels": 4, "kernel": 3, "activation": "swoosh"},
        ValueError,
        f"activation must be {ACTIVATION}, got 'swoosh'",
    ),
    (
        Conv,
        {"channels": 4, "kernel": 3, "algorithm": "fft"},
        ValueError,
        "algorithm must be 'auto', 'im2col' or 'winograd', got 'fft'",
    ),
    (Conv, {"channels": 2**63, "kernel": 3}, OverflowError, "does not fit a signed 64-bit size"),
    (
        Dense,
        {"units": 3, "activation": 0},
        ValueError,
        f"activation must be {ACTIVATION}, got 0",
    ),
    (
        Conv,
        {"channels": 4, "kernel": 3, "activation": LeakyReLU},
        ValueError,
        "activation must be an instance, LeakyReLU(...), got the class LeakyReLU",
    ),
    (
        Dense,
        {"units": 3, "activation": {"kind": "LeakyReLU", "slop": 0.1}},
        ValueError,
        "activation LeakyReLU has no slop, only slope",
    ),
    (Dense, {"units": 2.0}, TypeError, "units must be an integer, got 2.0 (float)"),
    (Dense, {"units": 0}, ValueError, "units must be at least 1, got 0"),
)


@catalogue(33)
@pytest.mark.parametrize(("kind", "arguments", "error", "message"), WRONG_LAYERS)
def test_layer_argument_wrong_raises_at_construction(kind, arguments, error, message):
    with pytest.raises(error) as caught:
        kind(**arguments)
    assert str(caught.value).startswith(f"{kind.kind}: ")
    assert message in str(caught.value)


@catalogue(33)
@pytest.mark.parametrize(("kind", "arguments", "error", "message"), WRONG_LAYERS)
def test_described_layer_wrong_names_index_and_kind(kind, arguments, error, message):
    layers = [{"kind": "Conv", "channels": 2, "kernel": 1}, {"kind": kind.kind, **arguments}]
    with pytest.raises(ValueError) as caught:
        Network.from_description({"input_shape": [8, 8, 2], "layers": layers})
    assert str(caught.value).startswith(f"layer 1 ({kind.kind}): ")
    assert message in str(caught.value)
    assert isinstance(caught.value.__cause__, error)


@catalogue(33)
@pytest.mark.parametrize(
    ("layer", "kind", "message"),
    [
        (
            Conv(2**40, 3),
            OverflowError,
            "layer 1 (Conv) on images 8 x 8 x 2: a matrix dimension exceeds the integers of BLAS",
        ),
        (
            Conv(2**62, 3),
            OverflowError,
            "layer 1 (Conv) on images 8 x 8 x 2: the sizes overflow",
        ),
        ("Conv", TypeError, "Network: layer 1 must be a layer, got 'Conv'"),
        (Conv, TypeError, "Network: layer 1 must be a layer, got <class 'matconv.layers.Conv'>"),
    ],
)
def test_layer_on_images_wrong_names_index_and_kind(layer, kind, message):
    with raises(kind, message):
        Network((8, 8, 2), [Conv(2, 1), layer])


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((8, 8), ValueError, "input_shape must be (height, width, channels), got (8, 8)"),
        ((8, 0, 1), ValueError, "input_shape must be at least 1 each, got (8, 0, 1)"),
        (8, TypeError, "input_shape must be (height, width, channels), got 8"),
        ((8, 8.0, 1), TypeError, "input_shape must be an integer, got 8.0 (float)"),
        ({8, 9, 1}, TypeError, "input_shape must be (height, width, channels), got {8, 9, 1}"),
    ],
)
def test_network_wrong_input_shape_refused(shape, kind, message):
    with raises(kind, message):
        Network(shape, [Dense(1)])


def test_dtype_of_a_network():
    with raises(TypeError, "Network: dtype must be float64 or float32, got float16"):
        Network((1, 1, 1), [Dense(1)], np.float16)


def test_images_of_another_shape_or_dtype():
    net = mixed()
    theta = net.init(0)
    with raises(ValueError, "Network: Z must have shape (l, 9, 8, 2), got (1, 9, 9, 2)"):
        net.forward(theta, np.zeros((1, 9, 9, 2)))
    with raises(ValueError, "Objective: Z must have shape (l, 9, 8, 2), got (9, 8, 2)"):
        Objective(net, np.zeros((9, 8, 2)), [0])
    with raises(TypeError, "Objective: Z is float32, the network computes in float64"):
        Objective(net, np.zeros((1, 9, 8, 2), np.float32), [0])
    with raises(TypeError, "Objective: Z must be float64 or float32, got uint8"):
        Objective(net, np.zeros((1, 9, 8, 2), np.uint8), [0])
