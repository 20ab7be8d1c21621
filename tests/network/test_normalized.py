"""Network.normalized: means and variances of the outputs of Scale layers."""

import re

import numpy as np
import pytest

from matconv import Add, Concat, Conv, Dense, Dropout, MaxPool, Network, Scale, moments

DTYPES = [np.float64, np.float32]


def residual(dtype=np.float64):
    layers = [
        Scale(name="s0"),
        Conv(5, 3, pad="same", name="c1"),
        Scale(activation="relu", name="s1"),
        Conv(5, 3, pad="same", bias=False, name="c2"),
        Scale(name="s2"),
        Conv(4, 1, inputs="c1", name="unread"),
        Add(inputs=["s1", "s2"], activation="relu", name="sum"),
        MaxPool(2, name="pool"),
        Dropout(0.5),
        Dense(6),
        Scale(name="s3"),
        Dense(4, inputs="unread", name="d"),
        Concat(inputs=["s3", "d"], name="out"),
    ]
    return Network((6, 7, 2), layers, dtype)


def scale_outputs(net, theta, Z):
    """gain x + bias of each Scale layer, before its activation, as (elements, channels)."""
    for k, layer in enumerate(net.layers):
        if layer.kind == "Scale":
            bare = [*net.layers[:k], type(layer)(name=layer.name, inputs=layer.inputs)]
            read = {"input"} | {n for one in bare for n in one.inputs or ()}
            read |= {bare[i - 1].name for i in range(1, len(bare)) if bare[i].inputs is None}
            unread = [one.name for one in bare[:-1] if one.name and one.name not in read]
            part = Network(net.input_shape, bare, net.dtype, outputs=[layer.name, *unread])
            z = part.forward(theta[: part.n], Z)
            z = z[0] if isinstance(z, tuple) else z
            yield z.reshape(-1, z.shape[-1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("elements", [1, 1000, 1 << 22])
def test_normalized_scale_layers_have_mean_0_and_variance_1(dtype, elements, monkeypatch):
    monkeypatch.setattr(moments, "ELEMENTS", elements)
    net = residual(dtype)
    Z = (3 + 2 * np.random.default_rng(0).standard_normal((20, 6, 7, 2))).astype(dtype)
    theta = net.init(1)
    before = theta.copy()
    found = net.normalized(theta, Z)
    np.testing.assert_array_equal(theta, before)
    outputs = list(scale_outputs(net, found, Z))
    assert len(outputs) == 4
    # |gain x| and |bias| are below 32; each is rounded, and so is the output
    bound = 4 * 32 * np.finfo(dtype).eps
    for z in outputs:
        z = z.astype(np.float64)
        assert abs(z.mean(0)).max() <= bound and abs(z.var(0) - 1).max() <= bound
        assert abs(z).max() < 16


def test_normalized_changes_only_scale_layers_and_is_idempotent():
    net, Z = residual(), np.random.default_rng(0).standard_normal((9, 6, 7, 2))
    theta = net.init(1)
    found = net.normalized(theta, Z)
    for one, other in zip(net.unpack(theta), net.unpack(found)):
        if "W" in one._fields:
            np.testing.assert_array_equal(one.W, other.W)
        else:
            assert (one.gain != other.gain).all()
    np.testing.assert_array_equal(net.normalized(found, Z), found)


def test_normalized_constant_channel_gets_gain_1():
    net = Network((2, 2, 2), [Scale()])
    Z = np.zeros((3, 2, 2, 2))
    Z[..., 0], Z[..., 1] = 0.1, np.arange(12).reshape(3, 2, 2) * 2
    gain, bias = net.unpack(net.normalized(net.init(0), Z))[0]
    assert gain[0] == 1 and bias[0] == pytest.approx(-0.1, rel=1e-15)
    assert gain[1] == pytest.approx(1 / np.std(Z[..., 1]), rel=1e-15)


def test_normalized_shared_parameters_are_those_of_their_owner():
    layers = [Scale(name="a"), Conv(2, 1, name="b"), Scale(parameters="a", name="c")]
    net, alone = Network((3, 3, 2), layers), Network((3, 3, 2), layers[:1])
    Z = np.random.default_rng(0).standard_normal((5, 3, 3, 2))
    theta = net.init(0)
    expected = alone.normalized(alone.init(0), Z)
    np.testing.assert_array_equal(net.normalized(theta, Z)[:4], expected)
    np.testing.assert_array_equal(net.normalized(theta, Z)[4:], theta[4:])


def test_normalized_network_without_scale_keeps_theta():
    net = Network((3, 3, 1), [Dense(2)])
    theta = net.init(0)
    np.testing.assert_array_equal(net.normalized(theta, np.ones((1, 3, 3, 1))), theta)


NO_BIAS = Network((2, 2, 1), [Scale(name="first"), Scale(bias=False, name="second")])
NET = Network((2, 2, 1), [Scale(name="first")])


@pytest.mark.parametrize(
    ("net", "Z", "error", "message"),
    [
        (NET, np.ones((0, 2, 2, 1)), ValueError, "Network: Z has no images"),
        (NET, np.ones((2, 2, 1)), ValueError, "Network: Z must have shape (l, 2, 2, 1), got (2, 2, 1)"),
        (
            NO_BIAS,
            np.ones((1, 2, 2, 1)),
            ValueError,
            "Network: layer 1 (Scale 'second') has no bias, which normalisation sets",
        ),
        (
            NET,
            np.full((1, 2, 2, 1), np.nan),
            ValueError,
            "Network: the inputs of layer 0 (Scale 'first') are not finite",
        ),
        (
            NET,
            np.full((1, 2, 2, 1), np.inf),
            ValueError,
            "Network: the inputs of layer 0 (Scale 'first') are not finite",
        ),
        (
            NET,
            np.array([[1e200, -1e200], [0, 0]]).reshape(1, 2, 2, 1),
            ValueError,
            "Network: the variance of the inputs of layer 0 (Scale 'first') overflows",
        ),
    ],
)  # fmt: skip
def test_normalized_bad_argument_raises(net, Z, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        net.normalized(net.init(0), Z)
