"""Frozen networks on several threads: the same bits, what is refused, and interrupts."""

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from support import capi
from support.capi import DTYPES, OK, entry, pointers, poisoned
from support.large_networks import THREADS, large, reals
from support.networks import lenet, mixed
from support.opened import Opened
from support.random_graphs import random_graph, random_images, random_theta
from support.threads import on_threads
from threadpoolctl import threadpool_info

from matconv.kernels.workers import interrupt_check

ALGORITHMS = ("auto", "im2col", "winograd")
POLL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def exported(net, theta):
    """The bytes of the file."""
    return net.freeze(theta).__reduce__()[1][0]


def into_poisoned(predictor, Z, n_threads):
    """The bytes of the outputs, with all memory full of NaN before, and not one element more."""
    size = predictor.workspace_size(len(Z), n_threads)
    around = np.full((size + 2) * Z.itemsize, 0xFF, np.uint8).view(Z.dtype)
    ends = around[[0, -1]].tobytes()
    out = tuple(np.full_like(output, np.nan) for output in as_tuple(predictor(Z)))
    predictor.into(Z, out if len(out) > 1 else out[0], around[1:-1], n_threads)
    assert around[[0, -1]].tobytes() == ends
    assert all(np.isfinite(output).all() for output in out)
    return [output.tobytes() for output in out]


# Values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_large_image_has_the_same_bits_on_any_number_of_threads(algorithm, dtype):
    net = large(dtype, algorithm)
    theta, Z = reals(net)
    predictor = net.freeze(theta)
    expected = into_poisoned(predictor, Z, 1)
    for n_threads in THREADS[1:]:
        assert into_poisoned(predictor, Z, n_threads) == expected
        assert predictor(Z, n_threads).tobytes() == predictor(Z).tobytes() == expected[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_batches_have_the_same_bits_on_any_number_of_threads(dtype):
    """One batch, several, a last one that is smaller."""
    net = lenet(dtype)
    for l in (1, 2, 45, 46, 91, 200):
        theta, Z = reals(net, l=l)
        predictor = net.freeze(theta)
        expected = into_poisoned(predictor, Z, 1)
        for n_threads in THREADS[1:]:
            assert into_poisoned(predictor, Z, n_threads) == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_graphs_have_the_same_bits_on_any_number_of_threads(dtype):
    for seed in range(20):
        net = random_graph(seed, dtype)
        predictor = net.freeze(random_theta(net, seed))
        for l in (0, 5, 600):
            Z = random_images(net, seed, l)
            assert into_poisoned(predictor, Z, 3) == into_poisoned(predictor, Z, 1)


def test_predictor_concurrent_calls_give_same_bits():
    net = large(side=192)
    theta, Z = reals(net, l=3)
    predictor = net.freeze(theta)
    expected = predictor(Z).tobytes()
    wrong = []

    def work(_):
        wrong.extend(k for k in range(30) if predictor(Z, 1 + k % 4).tobytes() != expected)

    on_threads(work, range(8))
    assert not wrong


# What a call leaves as it was


def blas_threads():
    return [info["num_threads"] for info in threadpool_info()]


def test_calls_leave_the_threads_of_blas_as_they_were():
    net = large(side=192)
    theta, Z = reals(net)
    predictor = net.freeze(theta)
    before = blas_threads()
    for n_threads in (1, 2):
        predictor(Z, n_threads)
        assert blas_threads() == before


def threads_of_one_small_image():
    """In a process of its own: threads before and after."""
    net = lenet()
    theta, Z = reals(net)
    predictor = net.freeze(theta)
    counts = []
    for call in (lambda: predictor(Z), lambda: predictor(Z, 8), lambda: predictor(Z[:0], 8)):
        call()
        counts.append(len(os.listdir("/proc/self/task")))
    net = large(side=192)
    theta, Z = reals(net)
    net.freeze(theta)(Z, 3)
    counts.append(len(os.listdir("/proc/self/task")))
    print(*(count - counts[0] for count in counts))


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_small_image_starts_no_thread():
    """Also not where it may; a large one starts as many as it may."""
    assert alone("threads_of_one_small_image") == (0, "0 0 0 2\n", "")


def alone(name):
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, name],
        capture_output=True, text=True, timeout=300, check=False, cwd=Path(__file__).parent,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_calls_do_not_leak():
    net = large(side=192)
    theta, Z = reals(net)
    predictor = net.freeze(theta)
    scratch, out = np.empty(predictor.workspace_size(1, 3)), predictor(Z, 3)
    before = sys.getallocatedblocks()
    for _ in range(300):
        predictor.into(Z, out, scratch, 3)
    assert sys.getallocatedblocks() - before < 50


# Arguments


@pytest.mark.parametrize(
    ("n_threads", "error", "message"),
    [
        (0, ValueError, "Predictor: n_threads must be from 1 to 1024, got 0"),
        (-1, ValueError, "Predictor: n_threads must be from 1 to 1024, got -1"),
        (1025, ValueError, "Predictor: n_threads must be from 1 to 1024, got 1025"),
        (2**40, ValueError, f"Predictor: n_threads must be from 1 to 1024, got {2**40}"),
        (True, TypeError, "Predictor: n_threads must be an integer, got True (bool)"),
        (2.0, TypeError, "Predictor: n_threads must be an integer, got 2.0 (float)"),
        (None, TypeError, "Predictor: n_threads must be an integer, got None (NoneType)"),
        ("2", TypeError, "Predictor: n_threads must be an integer, got '2' (str)"),
    ],
)
def test_numbers_of_threads_that_are_refused(n_threads, error, message):
    net = mixed()
    theta, Z = reals(net)
    predictor = net.freeze(theta)
    out = np.full((1, 3), 7.0)
    for call in (
        lambda: predictor(Z, n_threads),
        lambda: predictor.into(Z, out, None, n_threads),
        lambda: predictor.workspace_size(1, n_threads),
    ):
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == message
    assert (out == 7).all()


def test_scratch_of_fewer_threads_is_refused():
    net = large(side=192)
    theta, Z = reals(net)
    predictor = net.freeze(theta)
    out = np.full((1, 3), 7.0)
    sizes = [predictor.workspace_size(1, n_threads) for n_threads in (1, 2, 3)]
    assert sizes[0] < sizes[1] < sizes[2] and sizes[2] - sizes[1] == sizes[1] - sizes[0]
    with pytest.raises(ValueError) as caught:
        predictor.into(Z, out, np.empty(sizes[2] - 1), 3)
    message = f"Predictor: scratch must have at least {sizes[2]} elements, got {sizes[2] - 1}"
    assert str(caught.value) == message
    assert (out == 7).all()


def test_workspace_is_enough_for_fewer_images_and_threads():
    for net in (lenet(), large(side=192), mixed()):
        predictor = net.freeze(net.init(0))
        sizes = np.array(
            [[predictor.workspace_size(l, n) for n in (1, 2, 3, 8)] for l in range(0, 400, 13)]
        )
        assert (np.diff(sizes, axis=0) >= 0).all() and (np.diff(sizes, axis=1) >= 0).all()
        assert predictor.workspace_size(7) == predictor.workspace_size(7, 1)


# Interrupts


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("l", [1, 10])
def test_interrupt_at_every_check(n_threads, l):
    """One large image, and batches; nothing but the outputs is written, the next call is right."""
    net = large(side=192)
    theta, Z = reals(net, l=l)
    predictor = net.freeze(theta)
    expected, held, before = predictor(Z).tobytes(), Z.tobytes(), blas_threads()
    n, tried = 0, 0
    try:
        while tried < 3:  # calls that have ended before the check
            n += 1
            interrupt_check(n)
            try:
                predictor(Z, n_threads)
                raised = False
            except KeyboardInterrupt:
                raised = True
            assert raised == (interrupt_check(None) >= n)
            assert (predictor(Z, n_threads).tobytes(), Z.tobytes()) == (expected, held)
            assert blas_threads() == before
            tried += not raised
    finally:
        interrupt_check(None)
    assert n > 5


# C


def predict_threads(network, Z, outs, scratch, n_threads, poll=None):
    """The status; poll is a function of Python."""
    call = entry("network_predict_threads", Z.dtype)
    outs = [outs] if isinstance(outs, np.ndarray) else outs
    function = POLL(poll) if poll else None
    address = ctypes.cast(function, ctypes.c_void_p).value if poll else None
    return call(
        network.pointer, len(Z), Z, pointers(*outs), scratch, scratch.size, n_threads, address, None
    )


def workspace(network, l, n_threads):
    size = ctypes.c_ssize_t(-1)
    status = entry("network_workspace_size_threads")(network.pointer, l, n_threads, size)
    return status, size.value


@pytest.mark.parametrize("dtype", DTYPES)
def test_c_gives_the_predictors_bits_on_any_number_of_threads(dtype):
    for net, l in ((large(dtype, side=192), 1), (lenet(dtype), 200), (mixed(dtype), 0)):
        theta, Z = reals(net, l=l)
        predictor = net.freeze(theta)
        expected = predictor(Z)
        with Opened(exported(net, theta)) as network:
            for n_threads in THREADS:
                status, size = workspace(network, l, n_threads)
                assert (status, size) == (OK, predictor.workspace_size(l, n_threads))
                out, scratch = poisoned(expected.shape, dtype), poisoned(size, dtype)
                assert predict_threads(network, Z, out, scratch, n_threads) == OK
                assert out.tobytes() == expected.tobytes()
            assert workspace(network, l, 1)[1] == network.workspace(l)


def test_c_is_stopped_by_its_poll():
    """With as many images as it takes until it is asked for the first time."""
    net = large(side=192)
    theta, Z = reals(net)
    asked = []

    def poll(argument):
        asked.append(threading.get_ident())
        return 1

    with Opened(exported(net, theta)) as network:
        while not asked:
            Z = np.concatenate([Z, Z])
            out = poisoned((len(Z), 3), "float64")
            scratch = poisoned(workspace(network, len(Z), 2)[1], "float64")
            status = predict_threads(network, Z, out, scratch, 2, poll)
            assert status == (capi.INTERRUPTED if asked else OK)
        assert asked == [threading.get_ident()]
        assert predict_threads(network, Z, out, scratch, 2, lambda argument: 0) == OK
        assert out.tobytes() == net.freeze(theta)(Z).tobytes()


@pytest.mark.catalogue(60)
def test_c_refuses():
    """Numbers of threads, scratch of fewer threads, NULL; nothing is written."""
    net = large(side=192)
    theta, Z = reals(net)
    out = poisoned((1, 3), "float64")
    with Opened(exported(net, theta)) as network:
        needed = workspace(network, 1, 3)[1]
        scratch = poisoned(needed, "float64")
        held = [array.tobytes() for array in (Z, out, scratch)]
        for n_threads in (0, -1, 1025, -(2**31), 2**31 - 1):
            assert predict_threads(network, Z, out, scratch, n_threads) == capi.SIZE
            assert workspace(network, 1, n_threads) == (capi.SIZE, -1)
        assert workspace(network, -1, 2) == (capi.SIZE, -1)
        assert predict_threads(network, Z, out, scratch[1:], 3) == capi.SCRATCH
        single, small = Z.astype("float32"), scratch.view("float32")
        assert predict_threads(network, single, out, small, 3) == capi.DTYPE
        call = entry("network_predict_threads", "float64")
        good = [network.pointer, 1, Z, pointers(out), scratch, needed, 2, None, None]
        for k in (0, 2, 3, 4):
            bad = good[:k] + [None] + good[k + 1 :]
            assert call(*bad) == capi.NULL
        size = ctypes.c_ssize_t(-1)
        assert entry("network_workspace_size_threads")(None, 1, 2, size) == capi.NULL
        assert entry("network_workspace_size_threads")(network.pointer, 1, 2, None) == capi.NULL
        assert [array.tobytes() for array in (Z, out, scratch)] == held


if __name__ == "__main__":
    globals()[sys.argv[1]]()
