"""Whole networks and other libraries in the benchmark: one function, whoever computes it."""

import doctest
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import matconv

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import layers
import nets
import peers
import peers_jax
import peers_onnx
import run
import shapes
import timing
import truth
import wholenets

SMALL = {
    "input_shape": (11, 11, 4),
    "batch": 3,
    "layers": (
        ("conv", {"channels": 6, "kernel": 3, "pad": 1, "groups": 2}),
        ("pool", {"window": 3, "stride": 2}),
        ("conv", {"channels": 4, "kernel": 3, "stride": 2}),
        ("dense", {"units": 7}),
        ("dense", {"units": 3}),
    ),
}
LAYERS = [
    shapes.Layer("strided", 3, 4, (6, 5), 6, (3, 2), stride=2, pad=1, dilation=2, groups=2),
    shapes.Layer("plain", 2, 16, (7, 7), 24, (3, 3), pad=1),
]
MODULES = {"torch": "torch", "torch-f32": "torch", "jax": "jax", "onnxruntime": "onnxruntime"}


@pytest.fixture
def small(monkeypatch):
    """The small network as the only one, and no waiting."""
    monkeypatch.setattr(shapes, "NETS", {"small": SMALL})
    monkeypatch.setattr(timing, "rest", lambda: None)
    return layers.effort(quick=True)


# ---- matconv alone ------------------------------------------------------------------------------


def test_flops_of_a_network():
    found = wholenets.flops(SMALL, 2)
    per_image = 11 * 11 * 2 * 9 * 6 + 2 * 2 * 6 * 9 * 4 + 16 * 7 + 7 * 3
    assert found == 2 * 2 * per_image


def test_step_goes_down_the_gradient(small):
    side = wholenets.Bench("small", small).matconv("float64", 1)
    before = side.theta.copy()
    f, gradient = side.gradient()
    assert side.step() == f
    np.testing.assert_array_equal(side.theta, before - wholenets.RATE * gradient)
    assert side.gradient()[0] < f


def test_threads_against_one(small, monkeypatch):
    bench, made = wholenets.Bench("small", small), []
    make = bench.matconv
    monkeypatch.setattr(bench, "matconv", lambda dtype, n: made.append(n) or make(dtype, n))
    (found,) = bench.speedup("float64", 2, ["step"])
    keys = ("kind", "name", "sizes", "pass", "threads", "peer")
    assert [found[key] for key in keys] == ["net", "small", "3", "step", 2, "1 thread"]
    assert made == [2, 1]
    assert found["flops"] == 3 * wholenets.flops(SMALL, 3)


def test_a_layer_as_a_network_of_its_own():
    layer = shapes.Layer("mine", 2, 4, (6, 6), 6, (3, 3), stride=2, pad=1, groups=2)
    bench = wholenets.LayerBench(layer, layers.effort(quick=True))
    side = bench.matconv("float64", 1)
    (W, b), Z = bench.values[0], bench.data[0]
    S = matconv.conv2d(Z, W, b, relu=True, **layer.options)
    np.testing.assert_array_equal(side.forward(), S)
    assert side.gradient()[0] == pytest.approx((S**2).sum() / 2, rel=1e-12)
    assert wholenets.flops(bench.net, 2) == layer.flops("forward")


def test_networks_that_differ_are_refused():
    mine = {"outputs": np.array([1.0, -2.0]), "f": 3.0, "norm": 4.0}
    wholenets.agree(mine, {**mine, "f": 3.0 * (1 + 1e-11)}, 1e-10, "me")
    for key, value in (("f", 3.001), ("norm", np.nan), ("outputs", np.array([1.001, -2.0]))):
        with pytest.raises(ArithmeticError, match=f"^me: {key} differs from matconv's by "):
            wholenets.agree(mine, {**mine, key: value}, 1e-10, "me")


def test_a_library_that_is_missing_is_named(small, monkeypatch, capsys):
    def missing():
        raise peers.Missing("JAX is not installed")

    monkeypatch.setitem(layers.REQUIRED, "jax", missing)
    assert run.main(["nets", "--nets", "small", "--quick", "--peers", "jax"]) == 0
    assert "skipped   jax: JAX is not installed" in capsys.readouterr().out


# ---- other libraries, where they are installed ---------------------------------------------------


@pytest.mark.parametrize("peer", MODULES)
def test_networks_are_the_same_function(small, peer, tmp_path, capsys):
    pytest.importorskip(MODULES[peer])
    path = tmp_path / "found.json"
    arguments = ["nets", "--nets", "small", "--quick", "--threads", "1", "--json", str(path)]
    assert run.main([*arguments, "--peers", peer]) == 0  # agreement is checked there
    found = json.loads(path.read_text(encoding="utf-8"))["records"]
    passes = ["forward"] if peer == "onnxruntime" else ["forward", "gradient", "step"]
    assert sorted(one["pass"] for one in found) == passes
    assert "against " + peer in capsys.readouterr().out


@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_sides_with_other_parameters_are_found(small, peer):
    pytest.importorskip(peer)
    bench = wholenets.Bench("small", small)
    mine = bench.matconv("float64", 1).results()
    values = [(W * 1.001, b) for W, b in bench.values]
    for side in wholenets.sides(peer, SMALL, values, bench.data, "float64", 1):
        with pytest.raises(ArithmeticError, match="^me: .* not the same function"):
            wholenets.agree(mine, side.results(), 1e-10, "me")


@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_steps_of_other_libraries_are_the_same(small, peer):
    pytest.importorskip(peer)
    bench = wholenets.Bench("small", small)
    sides = wholenets.sides(peer, SMALL, bench.values, bench.data, "float64", 1)
    mine = bench.matconv("float64", 1)
    for side in (mine, *sides):
        for _ in range(3):
            side.step()
    for side in sides:
        assert side.results()["f"] == pytest.approx(mine.results()["f"], rel=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_jax_computes_the_layer(layer, dtype, threads):
    pytest.importorskip("jax")
    data = peers.operands(layer)
    expected = truth.Truth(layer, data)
    for side in layers.sides("jax", layer, data, dtype, threads):
        assert layers.check(expected, side) <= 1
        (alone, *_), (S, _) = (side.backward(), side.both())
        np.testing.assert_allclose(alone, side.both()[1][0], rtol=0, atol=1e-3)
        np.testing.assert_allclose(side.forward(), S, rtol=0, atol=1e-3)
        assert side.forward().dtype == dtype


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_onnx_runtime_computes_the_layer(layer):
    pytest.importorskip("onnxruntime")
    data = peers.operands(layer)
    (side,) = layers.sides("onnxruntime", layer, data, "float64", 1)
    assert layers.check(truth.Truth(layer, data), side) <= 1
    assert layers.passes_of("onnxruntime", shapes.PASSES) == ["forward"]


@pytest.mark.parametrize("module", [nets, peers_jax, peers_onnx, wholenets, run])
def test_examples_of_the_documentation(module):
    assert doctest.testmod(module).failed == 0
