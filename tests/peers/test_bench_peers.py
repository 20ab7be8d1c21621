"""The benchmark's peers compute the same layers and networks."""

import cases
import memory
import nets
import peers
import peers_matconv
import pytest
import torch

from matconv import Activation, Add, AvgPool, Dense, MaxPool, Network, Scale, presets

STRIDED = nets.conv(6, (3, 2), stride=2, pad=(1, 2), dilation=(2, 1), groups=2)
LAYERS = {
    "strided": nets.Net(Network((6, 5, 4), [STRIDED]), 3),
    "plain": nets.Net(Network((7, 7, 16), [nets.conv(24, 3, pad=1)]), 2),
}
_SMALL = [
    *(nets.conv(6, 3, pad=1, groups=2), MaxPool(3, 2), nets.conv(4, 3, stride=2)),
    *nets.dense(7, 3),
]
SMALL = nets.Net(Network((11, 11, 4), _SMALL), 3)

#: Narrow presets, and layers with sides that differ.
GRAPHS = {
    "alexnet-caffenet": presets.alexnet("caffenet", 5, (67, 67, 3), width=1 / 8),
    "cifar-quick": presets.cifar_quick(5),
    "dncnn": presets.dncnn(4, (20, 21, 1), width=1 / 4),
    "mobilenet-v2": presets.mobilenet_v2(5, (64, 64, 3), width=1 / 4),
    "nin-cifar": presets.nin_cifar(5),
    "resnet": presets.resnet(18, 5, (64, 64, 3), width=1 / 8),
    "squeezenet": presets.squeezenet("1.1", 5, (61, 61, 3), width=1 / 4),
    "sides": Network(
        (9, 8, 4),
        [
            *(nets.conv(6, 4, pad="same", name="a"), AvgPool(3, 1, 1), Scale(bias=False, name="b")),
            *(Add(inputs=["a", "b", "a"], factors=(2, -1, 0.5)), Activation("relu")),
            *(AvgPool((9, 8)), Dense(5, bias=False)),
        ],
    ),
}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The layers and the small network by name."""
    monkeypatch.setitem(nets.NETS, "small", SMALL)
    for name, network in GRAPHS.items():
        monkeypatch.setitem(nets.NETS, f"narrow {name}", nets.Net(network, 2))
    for name, layer in LAYERS.items():
        monkeypatch.setitem(nets.LAYERS, name, layer)


@pytest.mark.filterwarnings("ignore")  # curvlinops and BackPACK call what PyTorch deprecates
def test_peers_are_all_here():
    assert peers.absent(peers.PEERS.keys()) == {}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["strided", "plain"])
def test_torch_computes_the_layer(name, threads, dtype):
    case, before = cases.LayerCase(name), torch.get_num_threads()
    for side in peers.sides(case, "torch", dtype, threads, "auto"):
        for which in peers.LAYERS:
            assert 0 <= case.check(side, which) <= 1
        with side.context():
            assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", [f"narrow {name}" for name in GRAPHS])
@pytest.mark.parametrize("peer", ["torch", "jax", "onnxruntime", "openvino"])
def test_peer_computes_the_graph(peer, name):
    case = cases.NetCase(name)
    for side in peers.sides(case, peer, "float64", 1, "auto"):
        for which in ("forward", "gradient")[: len(peers.PEERS[peer].nets)]:
            assert case.check(side, which) <= nets.AGREEMENT[side.dtype.name]


@pytest.mark.parametrize("name", ["small", "strided", "plain"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("peer", ["torch", "torch-f32", "jax", "onnxruntime", "openvino"])
def test_peer_computes_the_network(peer, threads, name):
    case = cases.NetCase(name)
    for side in peers.sides(case, peer, "float64", threads, "auto"):
        assert side.dtype == (peers.PEERS[peer].dtype or "float64")
        assert set(side.passes) == {*peers.PEERS[peer].nets, *peers.PEERS[peer].frozen}
        for which, call in side.passes.items():
            call()
            assert case.check(side, which) <= nets.AGREEMENT[side.dtype.name]


@pytest.mark.parametrize("peer", ["torch", "jax", "onnxruntime", "openvino"])
def test_peer_with_other_parameters_is_refused(peer):
    case = cases.NetCase("small")
    case.check(peers_matconv.net(case, "float64", 1), "forward")  # what is expected
    case.theta *= 1.01
    for side in peers.sides(case, peer, "float64", 1, "auto"):
        with pytest.raises(ArithmeticError, match="^.*, small: outputs differs by .*not the same"):
            case.check(side, "forward")


@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_steps_of_a_peer_are_those_of_matconv(peer, monkeypatch):
    monkeypatch.setattr(nets, "RATE", 1e-2)
    case = cases.NetCase("small")
    mine = peers_matconv.net(case, "float64", 1)
    for _ in range(3):
        mine.passes["step"]()
    for side in peers.sides(case, peer, "float64", 1, "auto"):
        for _ in range(3):
            side.passes["step"]()
        assert side.results("gradient")["f"] == pytest.approx(mine.results("gradient")["f"], 1e-12)


def test_memory_of_the_same_gradient():
    job = {"name": "lenet", "dtype": "float64", "threads": 1, "images": 300, "peer": "torch"}
    found = memory.gradient(job, None)  # compares f and |gradient|
    assert found["other"]["median"] > 0 and max(found["difference"]) <= 1e-10


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_of_pytorch_have_channels_fastest(channels):
    """Also those of a single channel, where the strides are ambiguous and PyTorch reads them."""
    import graphs
    import peers_torch

    network = Network((9, 9, channels), [nets.conv(6, 3)])
    ((node, arrays),) = graphs.walk(network, network.init(0), first=True)
    W, _ = peers_torch.parameters(node, arrays, "nhwc")
    assert W.stride() == (9 * channels, 1, 3 * channels, channels)
