"""Evaluation on threads: the same bits on any number of them, and how much memory is held."""

import os
import signal
import threading
import tracemalloc

import numpy as np
import pytest
from support.networks import images, mixed
from support.random_graphs import kinds, random_graph, random_images, random_theta

from matconv import AvgPool, Conv, Dense, MaxPool, Network, Objective, evaluation
from matconv.layers import LAYERS
from matconv.losses import SoftmaxLoss, SquaredLoss
from matconv.sharding import max_waiting

DTYPES = [np.float64, np.float32]
THREADS = [1, 2, 3, 5, 8]
SEVERAL = [
    Conv(8, 5, pad="same", activation="relu"),
    MaxPool(2),
    Conv(16, 3, pad="same"),
    AvgPool(2),
    Conv(8, 1, activation="relu"),
    Dense(20, activation="relu"),
    Dense(4),
]


class InPython(SoftmaxLoss):
    """A subclass is evaluated in Python, between the two passes."""


class SquaredInPython(SquaredLoss):
    """A subclass is evaluated in Python, between the two passes."""


def everything(net, Z, Y, loss, theta, n_threads, output=None):
    """What threads compute, as bytes: f, gradient, outputs; mini-batches; partial sums; forward."""
    f = Objective(net, Z, Y, loss, 10.0, n_threads, output=output)
    batch = np.random.default_rng(0).integers(0, len(Z), max(len(Z) // 3, 1))
    found = []
    for part in (f, f.subset(batch)):
        value, gradient = part.value_and_gradient(theta)
        assert value == part.value(theta)
        found += [value, gradient.tobytes(), part.outputs(theta).tobytes()]
    leaves = len(net.leaves(len(Z)))
    for sum in f.partial_sums(theta, leaves // 3, leaves):
        found += [sum.level, sum.index, sum.value, sum.gradient.tobytes()]
    z = net.forward(theta, Z, n_threads)
    return [*found, *(one.tobytes() for one in (z if isinstance(z, tuple) else (z,)))]


@pytest.mark.parametrize("l", [1, 50])
@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["softmax", "squared", InPython()])
def test_chain_any_threads_same_bits(l, algorithm, dtype, loss):
    net = Network((60, 52, 3), SEVERAL, dtype, algorithm)
    random = np.random.default_rng(0)
    Z = random.standard_normal((l, 60, 52, 3)).astype(dtype)
    y, theta = random.integers(0, 4, l), net.init(0)
    assert (len(net.shards(l)) > 1) == (l > 1)
    alone = everything(net, Z, y, loss, theta, 1)
    assert np.isfinite(alone[0])
    for n_threads in THREADS:
        assert everything(net, Z, y, loss, theta, n_threads) == alone, n_threads


GRAPHS = range(10)


@pytest.mark.parametrize("l", [1, 600])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", GRAPHS)
def test_graph_any_threads_same_bits(seed, dtype, l):
    net = random_graph(seed, dtype)
    theta, Z = random_theta(net, seed), random_images(net, seed, l)
    output = net.outputs[seed % len(net.outputs)]
    size = dict(zip(net.outputs, np.atleast_1d(net.n_outputs)))[output]
    Y = np.random.default_rng(seed).standard_normal((l, size)).astype(dtype)
    loss = SquaredInPython() if seed % 2 else "squared"
    alone = everything(net, Z, Y, loss, theta, 1, output)
    for n_threads in THREADS:
        assert everything(net, Z, Y, loss, theta, n_threads, output) == alone, n_threads


def test_graphs_have_every_kind_of_layer():
    found = set().union(*(kinds(random_graph(seed)) for seed in range(100)))
    assert {*LAYERS, "shared", "factors", "outputs"} <= found
    assert {layer for layer in found if layer[0].isupper()} <= set(LAYERS)


class Meeting(SoftmaxLoss):
    """A loss that goes on when two threads evaluate it."""

    def __init__(self):
        self.barrier = threading.Barrier(2, timeout=60)

    def value_and_gradient(self, z, y):
        self.barrier.wait()
        return super().value_and_gradient(z, y)


def test_leaves_are_evaluated_by_several_threads_at_once():
    net = Network((60, 52, 3), SEVERAL)
    l = 2 * net.shard_size
    while len(net.shards(l)) % 2:
        l += net.shard_size
    f = Objective(net, np.ones((l, 60, 52, 3)), np.zeros(l, int), Meeting(), n_threads=2)
    assert np.isfinite(f.value_and_gradient(net.init(0))[0])


# Leaves of several shards -------------------------------------------------------------------------


def many_leaves(loss, n_threads=2, shards=130):
    """An objective of 64 leaves, most of them of two shards; and a theta."""
    net = Network((1, 1, 3), [Dense(4, activation="relu"), Dense(2)])
    l = shards * net.shard_size
    assert len(net.leaves(l)) == 64 and len(net.shards(l)) == shards
    random = np.random.default_rng(0)
    Z, y = random.standard_normal((l, 1, 1, 3)), random.integers(0, 2, l)
    return Objective(net, Z, y, loss, 5.0, n_threads), net.init(0)


@pytest.mark.parametrize("loss", ["softmax", InPython()])
def test_leaves_of_several_shards_any_threads_same_bits(loss):
    found = set()
    for n_threads in THREADS:
        f, theta = many_leaves(loss, n_threads)
        value, gradient = f.value_and_gradient(theta)
        assert value == f.value(theta)
        found.add((value, gradient.tobytes()))
    assert len(found) == 1


@pytest.fixture
def held(monkeypatch):
    """Vectors that are held: [now, at most]; `pause` calls are handed on."""
    counts, lock = [0, 0], threading.Lock()

    class Counted(evaluation.Vectors):
        def take(self, *, returned):
            vector = super().take(returned=returned)
            if vector is not None:
                with lock:
                    counts[0] += 1
                    counts[1] = max(counts)
            return vector

        def give(self, vector):
            with lock:
                counts[0] -= 1
            super().give(vector)

    monkeypatch.setattr(evaluation, "Vectors", Counted)
    return counts


@pytest.mark.parametrize("n_threads", THREADS)
def test_vectors_held_one_per_thread_and_log2_of_the_leaves(held, n_threads):
    f, theta = many_leaves("softmax", n_threads)
    for _ in range(5):
        held[:] = [0, 0]
        gradient = f.gradient(theta)
        # what the caller got
        assert held[0] == 1 and gradient.flags.owndata
        assert held[1] <= n_threads + max_waiting(64) == n_threads + 6
    assert f._gradients.idle < n_threads + 6


class OneWaits(InPython):
    """The thread with the first leaf waits until another one cannot go on."""

    def __init__(self, monkeypatch):
        self.full, self.order, self.waited = threading.Event(), iter(range(10**6)), []
        real = evaluation.pause

        def pause():
            self.full.set()
            real()

        monkeypatch.setattr(evaluation, "pause", pause)

    def value_and_gradient(self, z, y):
        if next(self.order) == 0:
            self.waited.append(self.full.wait(20))
        return super().value_and_gradient(z, y)


def test_vectors_one_thread_waits_the_limit_is_kept(held, monkeypatch):
    loss = OneWaits(monkeypatch)
    f, theta = many_leaves(loss)
    value, gradient = f.value_and_gradient(theta)
    assert loss.waited == [True]
    # the last but one is held by the thread that waits
    assert held == [1, 2 + 6]
    expected = many_leaves(InPython(), 1)[0].value_and_gradient(theta)
    assert value == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])


def test_vectors_error_elsewhere_ends_the_wait_for_one(monkeypatch):
    class Fails(OneWaits):
        def value_and_gradient(self, z, y):
            if not self.waited:
                value = super().value_and_gradient(z, y)
                if self.waited:
                    raise RuntimeError("the first leaf")
                return value
            return super().value_and_gradient(z, y)

    loss = Fails(monkeypatch)
    f, theta = many_leaves(loss)
    with pytest.raises(RuntimeError, match="the first leaf"):
        f.value_and_gradient(theta)
    assert loss.waited == [True]
    f.loss = InPython()
    assert np.isfinite(f.value_and_gradient(theta)[0])


class Forks(InPython):
    """The calling thread forks while a helper has a leaf, which the child then never gets."""

    def __init__(self):
        self.inside, self.forked = threading.Event(), threading.Event()
        self.caller, self.child = threading.get_ident(), None

    def value_and_gradient(self, z, y):
        if threading.get_ident() != self.caller:
            self.inside.set()
            assert self.forked.wait(20)
        elif self.child is None:
            assert self.inside.wait(20)
            self.child = os.fork()
            if self.child == 0:
                signal.alarm(60)  # ends a child that waits for ever
            self.forked.set()
        return super().value_and_gradient(z, y)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_vectors_forked_child_does_not_wait_for_those_of_its_parent():
    loss, message = Forks(), None
    f, theta = many_leaves(loss)
    try:
        value = f.value(theta), f.value_and_gradient(theta)[0]
    except RuntimeError as error:
        message = str(error)
    if loss.child == 0:
        told = message is not None and "forked during a computation cannot continue" in message
        os._exit(0 if told else 1)
    assert message is None and value[0] == value[1]
    assert os.waitstatus_to_exitcode(os.waitpid(loss.child, 0)[1]) == 0


# Memory -------------------------------------------------------------------------------------------


def test_gradient_is_computed_in_the_memory_of_the_last_one():
    """Nothing of a shard's size is allocated by the second call."""
    net = Network((60, 52, 3), SEVERAL)
    l = 3 * net.shard_size
    Z, y = np.ones((l, 60, 52, 3)), np.zeros(l, int)
    f, theta = Objective(net, Z, y, "softmax", C=10, n_threads=1), net.init(0)
    f.value_and_gradient(theta)
    tracemalloc.start()
    try:
        f.value_and_gradient(theta)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # the vector that the caller gets, and Python's own
    assert peak < theta.nbytes + 2**15 < net.program().whole_training_bytes / 2


@pytest.mark.parametrize("n_threads", [1, 3])
def test_memory_does_not_grow_with_the_number_of_images(n_threads):
    net = mixed()
    theta, peaks, sizes = net.init(0), [], []
    # the first round also loads what is loaded once
    for shards in (40, 40, 160):
        Z, y = images(net, shards * net.shard_size)
        sizes.append(Z.nbytes)
        f = Objective(net, Z, y, "softmax", n_threads=n_threads)
        tracemalloc.start()
        f.value_and_gradient(theta)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    slices, vectors = 120 * 200, (n_threads + 6) * theta.nbytes
    assert abs(peaks[2] - peaks[1]) < vectors + slices < (sizes[2] - sizes[1]) / 100


class CallsAgain(InPython):
    """A loss that evaluates another objective, or the same one, inside."""

    def __init__(self):
        self.inner = None
        self.values = set()

    def value_and_gradient(self, z, y):
        inner, self.inner = self.inner, None
        if inner is not None:
            self.values.add(inner())
            self.inner = inner
        return super().value_and_gradient(z, y)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_loss_that_calls_an_objective_again(n_threads):
    net = mixed()
    theta, (Z, y) = net.init(0), images(net, 1500)
    loss = CallsAgain()
    f = Objective(net, Z, y, loss, n_threads=n_threads)
    expected = Objective(net, Z, y, InPython(), n_threads=1).value_and_gradient(theta)
    loss.inner = lambda: f.value(theta)
    value, gradient = f.value_and_gradient(theta)
    assert value == expected[0] and loss.values == {value}
    np.testing.assert_array_equal(gradient, expected[1])
