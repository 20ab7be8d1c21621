"""How images are cut into shards, and one shard among threads."""

import threading
import time

import numpy as np
import pytest

from matconv import AvgPool, Conv, Dense, MaxPool, Network, Objective, workspace
from matconv.kernels import conv
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


@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_single_image_uses_all_threads_with_the_same_bits(monkeypatch, dtype, algorithm):
    monkeypatch.setattr(workspace, "SHARED_MULTIPLY_ADDS", 1)
    seen = set()
    forward, backward = conv.forward, conv.backward

    def spy(function):
        def call(*arguments, **options):
            seen.add((function, threading.get_ident()))
            time.sleep(0.002)  # time for another thread to take the next part
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(conv, "forward", spy(forward))
    monkeypatch.setattr(conv, "backward", spy(backward))
    random = np.random.default_rng(0)
    net = Network((60, 52, 3), LAYERS, dtype, algorithm)
    theta = net.init(0)
    Z = random.standard_normal((1, 60, 52, 3)).astype(dtype)
    assert len(net.shards(1)) == 1
    alone = Objective(net, Z, np.array([2]), "softmax", n_threads=1).value_and_gradient(theta)
    z = net.forward(theta, Z, n_threads=1)
    assert {ident for _, ident in seen} == {threading.get_ident()}
    for n_threads in (2, 5):
        seen.clear()
        f = Objective(net, Z, np.array([2]), "softmax", n_threads=n_threads)
        value, gradient = f.value_and_gradient(theta)
        assert value == alone[0] == f(theta)
        np.testing.assert_array_equal(gradient, alone[1])
        np.testing.assert_array_equal(net.forward(theta, Z, n_threads=n_threads), z)
        np.testing.assert_array_equal(f.outputs(theta), z)
        for function in (forward, backward):
            assert len({ident for name, ident in seen if name is function}) > 1


def test_workspaces_are_lent_once_grow_and_the_large_are_not_kept():
    net = Network((8, 8, 1), [Conv(4, 3, activation="relu"), Dense(2)])
    store = net.workspaces()
    with store.borrow(2) as first, store.borrow(2) as second:
        assert first is not second
    with store.borrow(1) as again:
        assert again in (first, second)
    with store.borrow(9) as larger:
        assert larger.l == 9 and larger not in (first, second)
    frugal = workspace.Workspaces(net._bound, net.dtype, most_bytes=1)
    with frugal.borrow(1) as one:
        assert one.nbytes > 1
    with frugal.borrow(1) as other:
        assert other is not one


def test_a_workspace_whose_use_failed_is_not_lent_again():
    store = Network((8, 8, 1), [Dense(2)]).workspaces()
    with pytest.raises(RuntimeError, match="torn"), store.borrow(1) as torn:
        raise RuntimeError("torn")
    with store.borrow(1) as fresh:
        assert fresh is not torn
