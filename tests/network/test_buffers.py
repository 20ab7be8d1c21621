"""Buffers that calls reuse: bounded over the process, and freed."""

import gc
import os
import threading

import numpy as np
import pytest
from support.networks import images, mixed
from support.passes import block
from support.processes import run_in_child
from support.threads import on_threads

from matconv import Dense, Network, Objective
from matconv.buffers import Buffers, Reservation, limits, set_limits, usage
from matconv.evaluation import LENT_BYTES
from matconv.losses import SoftmaxLoss

LINE = 64


@pytest.fixture(autouse=True)
def restored():
    """The limits as they were, and no idle memory of other tests at the beginning."""
    before = limits()
    gc.collect()
    set_limits(idle=0)
    set_limits(idle=before[0])
    yield
    set_limits(*before)


def test_buffers_are_lent_once_and_come_back():
    buffers = Buffers(100)
    first, second = buffers.take(), buffers.take()
    assert not np.shares_memory(first, second)
    assert len(first) == len(second) == 100 and first.dtype == np.uint8
    assert first.ctypes.data % LINE == second.ctypes.data % LINE == 0
    assert buffers.idle == 0 and usage()[0] == 0
    buffers.give(first)
    buffers.give(second)
    assert buffers.idle == 2 and usage()[0] == 200
    assert {id(buffers.take()), id(buffers.take())} == {id(first), id(second)}
    assert usage()[0] == 0


def test_lent_array_comes_back_with_its_last_view():
    buffers = Buffers(80)
    array = buffers.lend(np.dtype(np.float32))
    address, view = array.ctypes.data, array[3:5]
    assert array.shape == (20,) and array.dtype == np.float32 and address % LINE == 0
    array[:] = 1
    del array
    assert buffers.idle == 0 and view.tolist() == [1, 1]
    del view
    assert buffers.idle == 1 and usage()[0] == 80
    assert buffers.lend(np.dtype(np.float64)).ctypes.data == address


def test_large_gradients_are_reused_only_when_dropped():
    net = Network((1, 1, 1 << 11), [Dense(1 << 11)])
    f = Objective(net, np.ones((2, 1, 1, 1 << 11)), np.zeros((2, 1 << 11)))
    theta = net.init(0)
    assert theta.nbytes >= LENT_BYTES
    first = f.gradient(theta)
    second = f.gradient(2 * theta)
    expected = second.copy()
    assert not np.shares_memory(first, second)
    address = first.ctypes.data
    del first
    third = f.gradient(theta)
    assert third.ctypes.data == address and second.tobytes() == expected.tobytes()
    del f
    third += second  # the memory outlives the objective
    assert third.flags.writeable


def test_buffers_more_than_wanted_are_freed():
    buffers = Buffers(100)
    for one in [buffers.take() for _ in range(5)]:
        buffers.give(one, 3)
    assert buffers.idle == 3 and usage()[0] == 300


def test_idle_beyond_the_limit_those_unused_longest_are_freed():
    set_limits(idle=1000)
    a, b, c = Buffers(300), Buffers(400), Buffers(200)
    for buffers in (a, b, c):
        buffers.give(buffers.take())
    assert usage()[0] == 900
    a.give(a.take())  # used again: b is the oldest now
    two = [c.take(), c.take()]
    for one in two:
        c.give(one)
    assert (a.idle, b.idle, c.idle) == (1, 0, 2) and usage()[0] == 700
    set_limits(idle=250)
    assert (a.idle, b.idle, c.idle) == (0, 0, 1) and usage()[0] == 200
    large = Buffers(251)
    large.give(large.take())
    assert large.idle == 0 and c.idle == 1


def test_idle_buffers_are_freed_with_their_object():
    a, b, c = Buffers(300), Buffers(400), Buffers(500)
    for buffers in (a, b, c):
        buffers.give(buffers.take())
    del b
    assert usage()[0] == 800
    del buffers, c
    assert usage()[0] == 300
    set_limits(idle=0)
    assert a.idle == usage()[0] == 0


def test_objective_idle_buffers_are_freed_with_it():
    net = mixed()
    f = Objective(net, *images(net, 1500), "softmax", n_threads=2)
    part = f.subset([1, 2])
    f.value_and_gradient(net.init(0))
    del f
    assert usage()[0] > net.program().whole_training_bytes
    del part
    assert usage()[0] == 0


def test_reservation_ends_with_the_budget():
    set_limits(reserved=1000)
    one = Reservation(3, 300)
    other = Reservation(3, 50)
    assert (one.count, other.count) == (3, 2) and usage()[1] == 1000
    assert Reservation(1, 1).count == 0
    one.release()
    one.release()
    assert usage()[1] == 100 and Reservation(-1, 300).count == 0
    del other
    assert usage()[1] == 0
    late = Reservation(2, 300)
    set_limits(reserved=100)
    assert Reservation(1, 1).count == 0
    late.release()
    assert usage()[1] == 0


@pytest.mark.parametrize("wrong", [{"idle": -1}, {"reserved": -1}])
def test_set_limits_negative_is_refused(wrong):
    before = limits()
    with pytest.raises(ValueError, match="set_limits: idle and reserved must be at least 0, got"):
        set_limits(**wrong)
    assert limits() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_reservation_of_the_parent_is_none_in_a_forked_child():
    held = Reservation(2, 300)
    assert usage()[1] == 600

    def reserve():
        held.release()
        own = Reservation(1, 40)
        return usage()[1] == 40 and own.count == 1

    assert run_in_child(reserve) == 0
    assert usage()[1] == 600


def test_passes_read_nothing_that_was_in_their_buffers():
    net = mixed()
    theta, (Z, y) = net.init(0), images(net, 40)
    found = []
    for fill in (0x00, 0xFF):
        f = Objective(net, Z, y, "softmax", 3.0, n_threads=1)
        own = f._evaluation
        for buffers in (own._prepared, own._blocks, own._shared_blocks, f._gradients):
            for _ in range(3):
                buffers.give(block(buffers.nbytes, fill))
        value, gradient = f.value_and_gradient(theta)
        found.append((value, gradient.tobytes(), f.outputs(theta).tobytes()))
    assert found[0] == found[1] and np.isfinite(found[0][0])


# Concurrent callers -------------------------------------------------------------------------------


class Counting(SoftmaxLoss):
    """A loss that meets others, and notes what is reserved meanwhile."""

    def __init__(self):
        self.reserved, self.threads = [], set()

    def value_and_gradient(self, z, y):
        self.threads.add(threading.get_ident())
        self.reserved.append(usage()[1])
        return super().value_and_gradient(z, y)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_concurrent_callers_stay_within_the_limits(helpers, several):
    """8 threads with 4 each: all get their results, by as many helpers as the budget has."""
    net = mixed()
    theta, (Z, y) = net.init(0), images(net, 1500)
    loss = Counting()
    objectives = [Objective(net, Z, y, loss, 3.0, 4) for _ in range(8 if several else 1)]
    expected = Objective(net, Z, y, type("Own", (SoftmaxLoss,), {})(), 3.0, 1)
    value, gradient = expected.value_and_gradient(theta)
    each = net.program().whole_training_bytes + theta.nbytes
    idle = 3 * each
    set_limits(idle=idle, reserved=helpers * each + each // 2)
    wrong, idles, start = [], [], threading.Barrier(8)

    def call(k):
        start.wait(20)
        for _ in range(5):
            found = objectives[k % len(objectives)].value_and_gradient(theta)
            idles.append(usage()[0])
            if found[0] != value or (found[1] != gradient).any():
                wrong.append(k)

    on_threads(call, range(8))
    assert not wrong and len(idles) == 40
    assert max(idles) <= idle
    assert max(loss.reserved) <= helpers * each
    assert helpers == 0 or max(loss.reserved) >= each
    assert usage()[1] == 0


def test_reservation_no_budget_caller_evaluates_alone():
    net = mixed()
    theta, (Z, y) = net.init(0), images(net, 1500)
    loss = Counting()
    f = Objective(net, Z, y, loss, n_threads=4)
    set_limits(reserved=0)
    f.value_and_gradient(theta)
    assert loss.threads == {threading.get_ident()}


class Fails(SoftmaxLoss):
    """A loss that raises at the k-th shard."""

    def __init__(self, k, error):
        self.order, self.k, self.error = iter(range(10**6)), k, error

    def value_and_gradient(self, z, y):
        if next(self.order) == self.k:
            raise self.error
        return super().value_and_gradient(z, y)


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("k", [0, 3])
def test_error_in_a_shard_gives_all_memory_back(k, n_threads, error):
    net = mixed()
    theta, (Z, y) = net.init(0), images(net, 1500)
    f = Objective(net, Z, y, Fails(k, error), n_threads=n_threads)
    for _ in range(3):
        f.loss.order = iter(range(10**6))
        with pytest.raises(error):
            f.value_and_gradient(theta)
        # at most vectors of leaves that were added before
        assert usage()[0] == f._gradients.idle * theta.nbytes < net.program().whole_training_bytes
        assert usage()[1] == 0
    f.loss.k = -1
    value, gradient = f.value_and_gradient(theta)
    other = Objective(net, Z, y, Fails(-1, None), n_threads=1).value_and_gradient(theta)
    assert value == other[0]
    np.testing.assert_array_equal(gradient, other[1])


@pytest.mark.parametrize("n_threads", [1, 3])
def test_memory_error_at_any_buffer_leaves_everything_usable(monkeypatch, n_threads):
    """Every buffer of a call is the one that cannot be had, once; blocks of helpers can be done
    without."""
    from matconv import evaluation, terms

    failing = [0]

    class Scarce:
        def __init__(self, nbytes):
            self._real = Buffers(nbytes)

        def __getattr__(self, name):
            return getattr(self._real, name)

        def take(self):
            failing[0] -= 1
            if failing[0] == 0:
                raise MemoryError("no buffer")
            return self._real.take()

    monkeypatch.setattr(evaluation, "Buffers", Scarce)
    monkeypatch.setattr(terms, "Buffers", Scarce)
    net = mixed()
    theta, (Z, y) = net.init(0), images(net, 1500)
    f = Objective(net, Z, y, "softmax", 2.0, n_threads)
    expected = f.value_and_gradient(theta)
    outcomes = []
    for k in range(1, 50):
        failing[0] = k
        try:
            found = f.value_and_gradient(theta)
        except MemoryError as error:
            assert str(error) == "no buffer"
            outcomes.append("raised")
        else:
            outcomes.append("done")
            assert found[0] == expected[0] and (found[1] == expected[1]).all()
        assert usage()[1] == 0
        if failing[0] > 0:
            break
        found, failing[0] = None, 0
        again = f.value_and_gradient(theta)
        assert again[0] == expected[0] and (again[1] == expected[1]).all()
    # prepared parameters, the caller's block, the helpers', vectors
    assert outcomes[:2] == ["raised"] * 2
    assert outcomes[2 : 1 + n_threads] == ["done"] * (n_threads - 1)
    assert "raised" in outcomes[1 + n_threads :] and outcomes[-1] == "done"


def test_forward_buffers_are_used_again_and_freed_with_the_network():
    net = Network((1, 1, 4), [Dense(3)])
    theta, Z = net.init(0), np.ones((1000, 1, 1, 4))
    net.forward(theta, Z, 2)
    before = usage()[0]
    assert before >= net.program().whole_inference_bytes
    net.forward(theta, Z, 2)
    assert usage()[0] == before
    del net
    gc.collect()
    assert usage()[0] == 0
