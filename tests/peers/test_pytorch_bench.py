"""PyTorch as the benchmark's peer computes the same layers and the same networks."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import layers
import memory
import nets
import peers
import run
import shapes
import truth

LAYERS = [
    shapes.Layer("strided", 3, 4, (6, 5), 6, (3, 2), stride=2, pad=1, dilation=2, groups=2),
    shapes.Layer("plain", 2, 16, (7, 7), 24, (3, 3), pad=1),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_torch_computes_the_layer(layer, threads, dtype):
    data = peers.operands(layer)
    before = torch.get_num_threads()
    for side in layers.sides("torch", layer, data, dtype, threads):
        assert layers.check(truth.Truth(layer, data), side) <= 1
        with side.context():
            assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == before


def test_torch_in_single_precision_against_double(capsys):
    arguments = ["--layers", "lenet-1", "--quick", "--repeats", "1", "--threads", "1"]
    assert run.main([*arguments, "--passes", "forward", "--peers", "torch-f32"]) == 0
    assert "forward, float64, 1 thread: matconv against torch-f32" in capsys.readouterr().out


@pytest.mark.parametrize("name", shapes.NETS)
def test_torch_has_the_same_network(name):
    net = shapes.NETS[name]
    values = nets.parameters(net)
    Z, _ = nets.data(net, 5, np.float64)
    network = nets.for_matconv(net, np.float64)
    ours = network.forward(network.pack(values), Z)
    model = nets.for_torch(net, values, np.float64)
    with torch.no_grad():
        theirs = model(torch.from_numpy(Z).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())


def test_memory_of_the_same_gradient():
    # measure itself compares f and |gradient| of all sides
    found = memory.measure(images=300, threads=1)
    assert [one["who"] for one in found] == list(memory.WHO)
    assert all(one["bytes"] > 0 for one in found)
