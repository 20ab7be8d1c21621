"""Frozen networks into outputs and scratch of the caller: the same bits, and nothing allocated."""

import sys
import tracemalloc

import numpy as np
import pytest
from support import networks
from support.describing import freeze
from support.small_networks import ALGORITHMS, DTYPES, NETWORKS, network, reals
from support.tolerances import assert_same_bytes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_into(name, algorithm, dtype):
    """Whatever out and scratch held before; nothing but them is written to."""
    net = network(name, dtype, algorithm)
    theta, Z = reals(net, 5)
    predictor = freeze(net, theta)
    for l in (0, 1, 5):
        expected = predictor(Z[:l])
        size = predictor.workspace_size(l)
        for byte in (0xFF, 0x7F, 0):
            around = np.full(8 * (size + 2), byte, np.uint8).view(dtype)[: size + 2]
            out = np.empty((l, *net.output_shape), dtype)
            out.view(np.uint8).fill(byte)
            ends = around[[0, -1]].tobytes()
            assert predictor.into(Z[:l], out, around[1:-1]) is out
            assert_same_bytes(out, expected, name)
            assert around[[0, -1]].tobytes() == ends
            assert_same_bytes(predictor.into(Z[:l], None, around[1:-1]), expected)
            assert_same_bytes(predictor.into(Z[:l], out), expected)


def test_into_allocates_nothing():
    """No block is kept, and no call takes more than the small objects of its checks."""
    net = networks.lenet()
    theta, Z = reals(net, 8)
    predictor = freeze(net, theta)
    out, scratch = predictor(Z), np.empty(predictor.workspace_size(8))
    assert scratch.nbytes > 2**18
    predictor.into(Z, out, scratch)
    before = sys.getallocatedblocks()
    for _ in range(1000):
        predictor.into(Z[:1], out[:1], scratch)
    assert sys.getallocatedblocks() - before < 20
    tracemalloc.start()
    try:
        predictor.into(Z, out, scratch)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        predictor.into(Z, out, scratch)
        assert tracemalloc.get_traced_memory()[1] - before < 4096
    finally:
        tracemalloc.stop()
