"""Passes in pieces that threads share: the same bits for any number of threads."""

import gc
import sys

import numpy as np
import pytest
from support.large_networks import (
    LARGE,
    THREADS,
    enlarging,
    integers,
    large,
    reals,
    rounded,
)  # fmt: skip
from support.passes import block
from support.random_graphs import random_graph, random_images, random_theta
from threadpoolctl import threadpool_info

from matconv import (
    Conv,
    Dense,
    MaxPool,
    Network,
    Scale,
)  # fmt: skip
from matconv.kernels.program import LOSSES
from matconv.kernels.workers import interrupt_check

DTYPES = ("float64", "float32")
ALGORITHMS = ("im2col", "winograd")
METHODS = ("predict", "forward", "backward", "loss", "tangent", "gauss_newton", "hessian")


class Run:
    """All passes of a network's program, in memory that is full of NaN before each.

    Parameters
    ----------
    net : Network
    theta, Z : ndarray
    how : dict
        n_threads and shared, as the methods of `Program` take them.
    """

    def __init__(self, net, theta, Z, **how):
        self.net, self.theta, self.Z, self.how = net, theta, Z, how
        self.program = net.program(net.names[-1] if net.outputs is None else net.outputs[-1])
        self.prepared = block(self.program.prepared_bytes, 0xFF)
        self.program.prepare(theta, self.prepared, True)
        self.size = int(np.prod(self.program.shape(self.program.target)))

    def call(self, name, *arguments, **options):
        extra = None
        if "n_threads" in self.how:
            extra = block(self.program.extra_bytes(self.how["n_threads"]), 0xFF)
        method = getattr(self.program, name)
        return method(*arguments, extra=extra, **self.how, **options)

    def predict(self):
        outputs = tuple(
            block(len(self.Z) * self.size_of(value) * self.net.dtype.itemsize, 0xFF)
            for value in self.net._outputs
        )
        memory = block(self.program.inference_bytes, 0xFF)
        self.call("predict", self.theta, self.prepared, self.Z, outputs, memory)
        return [output.view(self.net.dtype) for output in outputs]

    def size_of(self, value):
        return int(np.prod(self.program.shape(value)))

    def forward(self):
        self.memory = block(self.program.training_bytes, 0xFF)
        return self.call("forward", self.theta, self.prepared, self.Z, self.memory).copy()

    def backward(self, dtheta=None):
        z = self.forward()
        dz = (np.arange(z.size) % 7 - 3).astype(self.net.dtype).reshape(z.shape)
        add = dtheta is not None
        dtheta = np.full(self.net.n, np.nan, self.net.dtype) if dtheta is None else dtheta
        arguments = self.theta, self.prepared, self.Z, dz, self.memory, dtheta
        self.call("backward", *arguments, add=add)
        return dtheta

    def loss(self, dtheta=None):
        rows = np.ones((len(self.Z), self.size), self.net.dtype)
        add = dtheta is not None
        dtheta = np.full(self.net.n, np.nan, self.net.dtype) if dtheta is None else dtheta
        memory = block(self.program.training_bytes, 0xFF)
        arguments = LOSSES["squared"], self.theta, self.prepared, self.Z, rows, 4.0, memory, dtheta
        return self.call("loss", *arguments, add=add), dtheta

    def direction(self):
        """A vector like theta, and what it is prepared to."""
        v = (np.arange(self.net.n) % 5 - 2).astype(self.net.dtype)
        t_prepared = block(self.program.prepared_bytes, 0xFF)
        self.program.prepare(v, t_prepared, True)
        return v, t_prepared

    def tangent(self):
        self.forward()
        t_block = block(self.program.tangent_bytes, 0xFF)
        arguments = self.theta, self.prepared, *self.direction(), len(self.Z), self.memory, t_block
        return self.call("tangent", *arguments).copy()

    def hessian(self):
        return self.gauss_newton(exact=True)

    def gauss_newton(self, exact=False):
        rows = np.ones((len(self.Z), self.size), self.net.dtype)
        product = np.full(self.net.n, np.nan, self.net.dtype)
        self.forward()
        t_bytes = self.program.hessian_bytes if exact else self.program.tangent_bytes
        t_block = block(t_bytes, 0xFF)
        arguments = (LOSSES["squared"], self.theta, self.prepared, *self.direction(), len(self.Z),
                     rows, 4.0, self.memory, t_block, product)  # fmt: skip
        self.call("gauss_newton", *arguments, exact=exact)
        return product

    def everything(self):
        """The bytes of all results."""
        value, gradient = self.loss()
        results = [*self.predict(), self.forward(), self.backward(), np.array(value), gradient]
        results += [self.tangent(), self.gauss_newton(), self.hessian()]
        assert all(np.isfinite(result).all() for result in results)
        return [result.tobytes() for result in results]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_large_image_has_the_same_bits_on_any_number_of_threads(dtype, algorithm):
    net = large(dtype, algorithm)
    theta, Z = reals(net)
    assert net.program().has_pieces(1, False) and net.program().has_pieces(1, True)
    expected = Run(net, theta, Z, n_threads=1, shared=True).everything()
    for n_threads in THREADS[1:]:
        assert Run(net, theta, Z, n_threads=n_threads, shared=True).everything() == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounded_operations_have_the_same_bits_on_any_number_of_threads(dtype):
    net = rounded(dtype)
    theta, Z = reals(net)
    assert net.program().has_pieces(1, False) and net.program().has_pieces(1, True)
    expected = Run(net, theta, Z, n_threads=1, shared=True).everything()
    for n_threads in THREADS[1:]:
        assert Run(net, theta, Z, n_threads=n_threads, shared=True).everything() == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_enlarging_layers_have_the_same_bits_on_any_number_of_threads(dtype, algorithm):
    net = enlarging(dtype, algorithm)
    for l in (1, 2):
        theta, Z = reals(net, l=l)
        expected = Run(net, theta, Z, n_threads=1, shared=True).everything()
        for n_threads in THREADS[1:]:
            assert Run(net, theta, Z, n_threads=n_threads, shared=True).everything() == expected


def test_large_image_has_the_bits_of_whole_steps_where_sums_are_exact():
    """Small integers, and factors that are powers of two: nothing is rounded."""
    net = large(algorithm="im2col", side=128)
    theta, Z = integers(net, l=2)
    assert net.program().has_pieces(2, False) and net.program().has_pieces(2, True)
    whole, shared = Run(net, theta, Z), Run(net, theta, Z, n_threads=3, shared=True)
    np.testing.assert_array_equal(whole.predict(), shared.predict())
    np.testing.assert_array_equal(whole.forward(), shared.forward())
    gradient = whole.backward()
    np.testing.assert_array_equal(gradient, shared.backward())
    np.testing.assert_array_equal(whole.tangent(), shared.tangent())
    assert np.count_nonzero(gradient) > net.n // 4
    # multiples of 2^-16 below 2^20: float64 holds sums of 2^17 of them
    assert abs(gradient).max() < 2**20 and not (gradient * 2**16 % 1).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_graphs_have_the_same_bits_on_any_number_of_threads(dtype):
    """Small ones too, where nothing has pieces."""
    for seed in range(30):
        net = random_graph(seed, dtype)
        theta, Z = random_theta(net, seed), random_images(net, seed, min(5, net.shard_size))
        expected = Run(net, theta, Z, n_threads=1, shared=True).everything()
        assert Run(net, theta, Z, n_threads=3, shared=True).everything() == expected


@pytest.mark.parametrize("l", [1, 2, 7, 63, 64])
def test_fewer_images_than_planned_have_the_same_bits_on_any_number_of_threads(l):
    net = Network((20, 20, 3), [
        Conv(8, 3, pad="same"), Scale(activation="relu"), MaxPool(3, stride=2), Dense(40), Dense(5),
    ])  # fmt: skip
    assert net.shard_size >= 64
    theta, Z = reals(net, l=l)
    expected = Run(net, theta, Z, n_threads=1, shared=True).everything()
    for n_threads in (2, 5):
        assert Run(net, theta, Z, n_threads=n_threads, shared=True).everything() == expected


def test_pieces_depend_on_the_images_of_the_call():
    """One image of a small network has nothing for a second thread, a batch of it has."""
    net = Network((28, 28, 1), [Conv(6, 5, pad=2, activation="relu"), MaxPool(2), Dense(10)])
    program = net.program()
    assert not program.has_pieces(0, True)
    assert not program.has_pieces(1, False) and not program.has_pieces(1, True)
    assert program.has_pieces(net.shard_size, False)


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_are_added_where_asked(shared):
    net = large(algorithm="im2col", side=128)
    theta, Z = integers(net)
    run = Run(net, theta, Z, n_threads=2, shared=shared)
    alone = run.backward()
    assert np.count_nonzero(alone) > net.n // 4
    np.testing.assert_array_equal(run.backward(alone + 1), 2 * alone + 1)
    value, alone = run.loss()
    again, total = run.loss(np.zeros(net.n))
    assert value == again and (total == alone).all()


def test_passes_no_images_do_nothing():
    net = large(side=128)
    theta, Z = reals(net, l=0)
    run = Run(net, theta, Z, n_threads=2, shared=True)
    assert run.forward().shape == (0, 3)
    assert not run.backward().any()


def test_extra_bytes_are_those_of_the_other_threads():
    program = large().program()
    assert program.extra_bytes(1) == 0
    one = program.extra_bytes(2)
    assert one > 0 and one % 64 == 0
    assert [program.extra_bytes(n) for n in (3, 8)] == [2 * one, 7 * one]


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_interrupt_at_every_check(method, shared, n_threads):
    """Between steps, and between pieces; the next call is right."""
    net = large(side=192)
    theta, Z = reals(net)
    run = Run(net, theta, Z, n_threads=n_threads, shared=shared)
    inputs = [theta.tobytes(), Z.tobytes(), run.prepared.tobytes()]
    expected, blas = run.everything(), threadpool_info()
    n, missed = 0, 0
    try:
        while missed < 3:  # calls that have ended before the check
            n += 1
            interrupt_check(n)
            try:
                getattr(run, method)()
                raised = False
            except KeyboardInterrupt:
                raised = True
            assert raised == (interrupt_check(None) >= n)
            missed += not raised
            if n % 7 == 0 or missed:
                assert run.everything() == expected
            assert [theta.tobytes(), Z.tobytes(), run.prepared.tobytes()] == inputs
            assert threadpool_info() == blas
    finally:
        interrupt_check(None)
    assert n > (len(LARGE) if n_threads == 1 else 5)


def test_calls_do_not_leak():
    net = large(side=192)
    theta, Z = reals(net)
    run = Run(net, theta, Z, n_threads=3, shared=True)
    run.loss()
    before = sys.getallocatedblocks()
    for k in range(60):
        if k % 2:
            interrupt_check(1 + k)
        try:
            run.loss()
        except KeyboardInterrupt:
            pass
        finally:
            interrupt_check(None)
    gc.collect()
    assert sys.getallocatedblocks() - before < 50
