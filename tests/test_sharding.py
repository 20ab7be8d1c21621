"""How images are cut into shards, and the shards among threads; buffers that calls share."""

import threading
import tracemalloc

import numpy as np
import pytest

from matconv import AvgPool, Conv, Dense, MaxPool, Network, Objective
from matconv.buffers import LINE, Buffers
from matconv.losses import SoftmaxLoss
from matconv.sharding import MOST_IMAGES, Sharding


@pytest.mark.parametrize("four, two", [(16, 4), (1, 1), (64, 64), (1000, 100)])
def test_shards_cover_all_images_and_keep_the_rule(four, two):
    rule = Sharding(64, four, two)
    assert rule.cut(0) == []
    for l in range(1, 1500, 7):
        cut = rule.cut(l)
        assert [i for part in cut for i in range(part.start, part.stop)] == list(range(l))
        lengths = [part.stop - part.start for part in cut]
        assert max(lengths) <= 64 and max(lengths) - min(lengths) <= 1
        needed = -(-l // 64)
        if len(cut) > max(needed, 2):  # more than there must be: each is worth it
            assert min(lengths) >= four
        if len(cut) == 2 > needed:
            assert min(lengths) >= two
        if -(-needed // 4) * 4 * four <= l and needed <= 16:
            assert len(cut) % 4 == 0


def test_the_rule_of_a_network():
    """Bounded by what is kept, unless there are more parameters than that; worth their cost."""
    small = Sharding.of(multiply_adds=1000, numbers=100, parameters=10)
    assert small.most == MOST_IMAGES and small.four > 256  # too little work for four
    large = Sharding.of(multiply_adds=10**9, numbers=10**6, parameters=10**3)
    assert (large.most, large.four, large.two) == (2, 1, 1)
    heavy = Sharding.of(multiply_adds=150_000_000, numbers=170_000, parameters=9_200_000)
    assert heavy.most == 64 and heavy.two < heavy.four <= heavy.most
    assert Sharding.of(0, 1, 0).most == MOST_IMAGES  # pooling only


LAYERS = [
    Conv(8, 5, pad="same", activation="relu"),
    MaxPool(2),
    Conv(16, 3, pad="same"),
    AvgPool(2),
    Conv(8, 1, activation="relu"),
    Dense(20, activation="relu"),
    Dense(4),
]


@pytest.mark.parametrize("l", [1, 50])
@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", ["softmax", "in Python"])
def test_any_number_of_threads_gives_the_same_bits(l, algorithm, dtype, loss):
    random = np.random.default_rng(0)
    net = Network((60, 52, 3), LAYERS, dtype, algorithm)
    theta = net.init(0)
    Z = random.standard_normal((l, 60, 52, 3)).astype(dtype)
    y = random.integers(0, 4, l)
    # a subclass is evaluated in Python, between the two passes
    given = loss if loss == "softmax" else type("Own", (SoftmaxLoss,), {})()
    assert (len(net.shards(l)) > 1) == (l > 1)
    alone = Objective(net, Z, y, given, n_threads=1).value_and_gradient(theta)
    z = net.forward(theta, Z, n_threads=1)
    assert np.isfinite(alone[0]) and alone[1].any()
    for n_threads in (2, 5):
        f = Objective(net, Z, y, given, n_threads=n_threads)
        for _ in range(2):
            value, gradient = f.value_and_gradient(theta)
            assert value == alone[0] == f(theta)
            np.testing.assert_array_equal(gradient, alone[1])
        np.testing.assert_array_equal(net.forward(theta, Z, n_threads=n_threads), z)
        np.testing.assert_array_equal(f.outputs(theta), z)


class Meeting(SoftmaxLoss):
    """A loss that goes on when two threads evaluate it."""

    def __init__(self):
        self.barrier = threading.Barrier(2, timeout=60)

    def value_and_gradient(self, z, y):
        self.barrier.wait()
        return super().value_and_gradient(z, y)


def test_shards_are_evaluated_by_several_threads_at_once():
    net = Network((60, 52, 3), LAYERS)
    l = 2 * net.shard_size
    while len(net.shards(l)) % 2:
        l += net.shard_size
    f = Objective(net, np.ones((l, 60, 52, 3)), np.zeros(l, int), Meeting(), n_threads=2)
    assert np.isfinite(f.value_and_gradient(net.init(0))[0])


def test_buffers_are_lent_once_come_back_and_the_large_are_not_kept():
    store = Buffers(100)
    with store.borrow() as first, store.borrow() as second:
        assert not np.shares_memory(first, second)
        assert len(first) == len(second) == 100
        assert first.ctypes.data % LINE == second.ctypes.data % LINE == 0
    with store.borrow() as again:
        assert again is first or again is second
    frugal = Buffers(100, max_bytes=99)
    with frugal.borrow() as one:
        pass
    with frugal.borrow() as other:
        assert other is not one


def test_a_buffer_whose_use_failed_is_not_lent_again():
    store = Buffers(100)
    with pytest.raises(RuntimeError, match="torn"), store.borrow() as torn:
        raise RuntimeError("torn")
    with store.borrow() as fresh:
        assert fresh is not torn


def test_a_gradient_is_computed_in_the_memory_of_the_last_one():
    """Nothing of a shard's size is allocated by the second call."""
    net = Network((60, 52, 3), LAYERS)
    l = 3 * net.shard_size
    Z, y = np.ones((l, 60, 52, 3)), np.zeros(l, int)
    f, theta = Objective(net, Z, y, "softmax", n_threads=1), net.init(0)
    f.value_and_gradient(theta)
    tracemalloc.start()
    try:
        f.value_and_gradient(theta)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # two vectors of n numbers, of which the caller gets one, and Python's own
    assert peak < 2 * theta.nbytes + 2**16 < net.program().training_bytes / 2
