"""Layers and networks of the benchmark, and the truth that they are compared with."""

import types

import cases
import graphs
import nets
import numpy as np
import peers
import peers_gemm
import peers_matconv
import pytest
from support import reference

import matconv
from matconv import presets

EPS = float(np.finfo(float).eps)
LAYERS = ("grouped", "plain")


#: Sums of h h d_in/groups d_out + d_out or m n + n; the shape that reaches the first dense layer.
COUNTED = {
    "lenet": (520 + 25_050 + 400_500 + 5_010, (4, 4, 50)),
    "simplenn-4": (2_432 + 18_496 + 36_928 + 10_250, (4, 4, 64)),
    "simplenn-7": (2_432 + 9_248 + 18_496 + 2 * 36_928 + 73_856 + 20_490, (4, 4, 128)),
    "vgg11": (1_792 + 73_856 + 295_168 + 590_080 + 1_180_160 + 3 * 2_359_808 + 5_130, (1, 1, 512)),
    "alexnet": (60_965_224, (6, 6, 256)),
    "resnet18-64": (11_689_512, (1, 1, 512)),
    "dncnn17-180": (556_097, None),
}


@pytest.mark.parametrize("name", COUNTED)
def test_network_parameters_are_as_counted_by_hand(name):
    network, (count, last) = nets.NETS[name].network, COUNTED[name]
    assert network.n == count
    walk = graphs.walk(network, np.empty(network.n, np.float32))
    dense = [node for node, _ in walk if node.kind == "Dense"]
    assert [node.shape for node in dense[:1]] == ([last] if last else [])
    if name in ("vgg11", "alexnet"):
        activations = [layer.activation for layer in network.layers if layer.kind != "MaxPool"]
        assert activations == ["relu"] * (len(activations) - 1) + [None]


def test_networks_are_the_presets_but_vgg11():
    different = []
    for name, preset in presets.PRESETS.items():
        network = presets.make_network(name, None, 10 if preset.input_shape[0] < 64 else 1000)
        different += [name] * (nets.NETS[name].network != network)
    assert different == ["vgg11"]
    losses = {name for name, net in nets.NETS.items() if net.loss == "squared"}
    assert losses == {"dncnn17", "dncnn17-180"}


def test_parameters_are_scaled_by_the_inputs_of_an_output():
    layers = [matconv.Conv(256, 3, groups=2, bias=False), matconv.Scale(), matconv.Dense(512)]
    network = matconv.Network((3, 3, 64), layers)
    theta = nets.parameters(network)
    (W,), (gain, bias), (V, _) = network.unpack(theta)
    for array, deviation in (
        (W, (2 / 288) ** 0.5),
        (gain, 0.1),
        (bias, 0.1),
        (V, 256**-0.5 * 2**0.5),
    ):
        assert array.std() == pytest.approx(deviation, rel=0.15)
    assert gain.mean() == pytest.approx(1, abs=0.05)
    assert bias.mean() == pytest.approx(0, abs=0.05)
    np.testing.assert_array_equal(theta, nets.parameters(network))


def test_layer_as_network_is_conv2d_with_squared_loss():
    case = cases.NetCase("grouped")
    ((W, b),) = case.net.network.unpack(case.theta)
    side = peers_matconv.net(case, "float64", 2)
    options = cases.LayerCase("grouped").window.options
    S = matconv.conv2d(case.data[0], W, b, relu=True, **options)
    np.testing.assert_array_equal(side.passes["forward"](), S)
    assert side.passes["gradient"]()[0] == pytest.approx((S**2).sum() / len(S), rel=1e-12)


def test_predict_is_the_frozen_network_on_the_threads_of_the_job(monkeypatch):
    case, calls, freeze = cases.NetCase("small"), [], matconv.Network.freeze

    def frozen(network, theta, images):
        predictor = freeze(network, theta, images)

        def into(Z, out, scratch, n_threads):
            calls.append((len(scratch), n_threads))
            return predictor.into(Z, out, scratch, n_threads)

        return types.SimpleNamespace(into=into, workspace_size=predictor.workspace_size)

    monkeypatch.setattr(matconv.Network, "freeze", frozen)
    side = peers_matconv.net(case, "float32", 2)
    assert case.check(side, "predict") <= nets.AGREEMENT["float32"]
    predictor = freeze(*peers_matconv.network(case, "float32"), 2)
    assert calls == [(predictor.workspace_size(2, 2), 2)]
    assert calls[0][0] > predictor.workspace_size(2)


def test_step_subtracts_the_gradient(monkeypatch):
    monkeypatch.setattr(nets, "RATE", 1e-3)
    side = peers_matconv.net(cases.NetCase("small"), "float64", 1)
    before = side.passes["gradient"]()[0]
    assert side.passes["step"]() == before
    assert side.passes["gradient"]()[0] < before


@pytest.mark.parametrize("name", LAYERS)
def test_truth_equals_six_loops(name):
    case, rng = cases.LayerCase(name), np.random.default_rng(0)
    Z, W, b, dS = (rng.integers(-8, 9, x.shape).astype(float) for x in case.data.values())
    found = cases.convolution(case.window, Z, W, b, dS)
    S = reference.conv2d(Z, W, b, **case.window.options)
    dZ, dW, db = reference.conv2d_backward(dS, Z, W, **case.window.options)
    for key, exact in (("S", S), ("dZ", dZ), ("dW", dW), ("db", db)):
        np.testing.assert_array_equal(found[key], exact, err_msg=key)


@pytest.mark.parametrize("key", ["S", "dZ", "dW", "db"])
@pytest.mark.parametrize("damage", [1e-9, np.nan], ids=["small", "nan"])
def test_check_refuses_one_wrong_element_and_wrong_shapes(key, damage):
    case = cases.LayerCase("plain")
    results = {name: value * (1 + EPS) for name, value in case.expected.items()}
    side = peers.Side("me", np.dtype(float), {}, lambda which: results)
    assert 0 < case.check(side, "both") < 1  # rounding passes
    results[key].flat[3] += damage
    with pytest.raises(ArithmeticError, match=f"^me, plain: {key} exceeds the rounding bound at 1"):
        case.check(side, "both")
    side.slack = 1e9  # a factor of the bound; no bound admits a NaN
    if damage < 1:
        assert 0 < case.check(side, "both") < 1
    results[key] = results[key][:1]
    with pytest.raises(ArithmeticError, match=f"^me, plain: {key} has shape .*, expected "):
        case.check(side, "both")


def test_agree_refuses_differences_and_nan():
    mine = {"outputs": np.array([1.0, -2.0]), "f": 3.0}
    assert nets.agree(mine, {**mine, "f": 3.0 * (1 + 1e-11)}, "float64", "me") < 2e-11
    for key, value in (("f", 3.001), ("f", np.nan), ("outputs", np.array([1.001, -2.0]))):
        with pytest.raises(ArithmeticError, match=f"^me: {key} differs by .*not the same function"):
            nets.agree(mine, {key: value}, "float64", "me")
    assert nets.agree(mine, {"f": 3.001}, "float32", "me") == pytest.approx(1e-3 / 3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_own_sides_compute_the_layer(name, threads, dtype):
    case = cases.LayerCase(name)
    made = [peers_matconv.layer(case, dtype, threads, form) for form in peers_matconv.FORMS]
    made += [peers_matconv.layer(case, dtype, threads, reuse=True)]
    made += [peers_gemm.layer(case, dtype, threads)]
    for side in made:
        for which in peers.LAYERS:
            assert 0 <= case.check(side, which) <= 1
            assert len(side.results(which)) >= {"forward": 1, "backward": 2, "both": 3}[which]
