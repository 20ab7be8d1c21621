"""The benchmark's peers compute the same layers and networks; the picture is drawn."""

import xml.etree.ElementTree

import cases
import memory
import nets
import peers
import peers_jax
import peers_matconv
import peers_torch
import plot
import pytest
import shapes
import timing
import torch

LAYERS = [
    shapes.Layer("strided", 3, 4, (6, 5), 6, (3, 2), stride=2, pad=1, dilation=2, groups=2),
    shapes.Layer("plain", 2, 16, (7, 7), 24, (3, 3), pad=1),
]
SMALL = nets.Net(
    (11, 11, 4),
    (
        ("conv", {"channels": 6, "kernel": 3, "relu": True, "pad": 1, "groups": 2}),
        ("pool", {"window": 3, "stride": 2}),
        ("conv", {"channels": 4, "kernel": 3, "relu": True, "stride": 2}),
        ("dense", {"units": 7, "relu": True}),
        ("dense", {"units": 3, "relu": False}),
    ),
    batch=3,
)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The layers and the small network by name."""
    monkeypatch.setitem(nets.NETS, "small", SMALL)
    for layer in LAYERS:
        monkeypatch.setitem(shapes.LAYERS, layer.name, layer)


def test_peers_are_all_here():
    assert peers.absent(peers.PEERS) == {}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["strided", "plain"])
def test_torch_computes_the_layer(name, threads, dtype):
    case, before = cases.LayerCase(name), torch.get_num_threads()
    for side in peers.sides(case, "torch", dtype, threads, "auto"):
        for which in shapes.PASSES:
            assert 0 <= case.check(side, which) <= 1
        with side.context():
            assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["small", "strided", "plain"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("peer", ["torch", "torch-f32", "jax", "onnxruntime"])
def test_peer_computes_the_network(peer, threads, name):
    case = cases.NetCase(name)
    for side in peers.sides(case, peer, "float64", threads, "auto"):
        assert side.dtype == (peers.PEERS[peer].dtype or "float64")
        assert set(side.passes) == set(peers.module(peer).PASSES["net"])
        for which, call in side.passes.items():
            call()
            assert case.check(side, which) <= cases.AGREEMENT[side.dtype.name]


@pytest.mark.parametrize("peer", ["torch", "jax", "onnxruntime"])
def test_peer_with_other_parameters_is_refused(peer):
    case = cases.NetCase("small")
    case.check(peers_matconv.net(case, "float64", 1), "forward")  # what is expected
    case.values = [value and (value[0] * 1.01, value[1]) for value in case.values]
    for side in peers.sides(case, peer, "float64", 1, "auto"):
        with pytest.raises(ArithmeticError, match="^.*, small: outputs differs by .*not the same"):
            case.check(side, "forward")


@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_steps_of_a_peer_are_those_of_matconv(peer, monkeypatch):
    for module in (peers_matconv, peers_torch, peers_jax):
        monkeypatch.setattr(module, "RATE", 1e-2)
    case = cases.NetCase("small")
    mine = peers_matconv.net(case, "float64", 1)
    for _ in range(3):
        mine.passes["step"]()
    for side in peers.sides(case, peer, "float64", 1, "auto"):
        for _ in range(3):
            side.passes["step"]()
        assert side.results("gradient")["f"] == pytest.approx(mine.results("gradient")["f"], 1e-12)


def test_memory_of_the_same_gradient():
    key = {"name": "lenet", "dtype": "float64", "threads": 1, "images": 300}
    for peer in memory.PEERS:
        found = memory.gradient({**key, "peer": peer}, None)  # compares f and |gradient|
        assert found["other"]["median"] > 0 and max(found["difference"]) <= 1e-10


def test_plot_is_an_svg_with_a_bar_for_each_ratio(tmp_path):
    about = {"quick": False, "threads": 1, "algorithm": "auto", "dtype": "float64"}
    records = [
        {**about, "what": what, "name": name, "pass": which, "peer": peer}
        | {"ratio": timing.spread([ratio, 1.1 * ratio])}
        for what, name, which, peer, ratio in (
            ("layer", "vgg-64", "both", "torch", 2.0),
            ("layer", "vgg-128", "both", "torch", 0.5),
            ("net", "lenet", "step", "torch-f32", 1.2),
        )
    ]
    machine = {"processor": "Abacus", "blas": [], "versions": {}, "date": "2026-11-22"}
    paths = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for path in paths:
        plot.draw({"machine": machine, "records": records}, path)
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes()  # no date, no random names
    tree = xml.etree.ElementTree.fromstring(content)
    space = {"svg": "http://www.w3.org/2000/svg"}
    colours = [path.get("style", "") for path in tree.iterfind(".//svg:path", space)]
    for (_, _, colour), n in zip(plot.SERIES, (2 + 1, 0, 1 + 1), strict=True):
        assert sum(f"fill: {colour}" in style for style in colours) == n  # and in the legend
