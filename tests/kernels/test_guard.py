"""BLAS threads and NumPy's error state during a computation, and restored afterwards."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from support.processes import blas_threads, run_in_child
from support.threads import on_threads
from threadpoolctl import threadpool_limits

from matconv import Conv, Dense, Network, Objective, minimize
from matconv.engines import ThreadEngine
from matconv.kernels._guard import guarded


@pytest.fixture
def two_blas_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.parametrize("n_threads", [1, 2])
def test_engine_during_and_after_run_blas_threads(two_blas_threads, n_threads):
    seen = []
    ThreadEngine(n_threads).run(lambda k: seen.append(blas_threads()), range(3))
    assert seen == [[1]] * 3
    assert blas_threads() == [2]


def test_guarded_nested_outermost_restores(two_blas_threads):
    def outer():
        return guarded(blas_threads), blas_threads()

    assert guarded(outer) == ([1], [1])
    assert blas_threads() == [2]


@pytest.mark.catalogue(64)
def test_guarded_exception_passes_and_restores(two_blas_threads):
    def fail():
        assert blas_threads() == [1]
        np.seterr(all="raise")
        raise RuntimeError("inside")

    before = np.geterr()
    with pytest.raises(RuntimeError, match="inside"):
        guarded(fail)
    assert blas_threads() == [2]
    assert np.geterr() == before


def test_guarded_arguments_are_passed_and_the_result_returned():
    assert guarded(int, "ff", base=16) == 255


def test_guarded_numpy_error_state_ignores_inside_only():
    with np.errstate(all="raise"):
        assert np.isinf(guarded(np.divide, 1.0, 0.0))
        with pytest.raises(FloatingPointError):
            np.divide(1.0, 0.0)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_engine_error_state_is_silent_on_every_thread(n_threads):
    together = threading.Barrier(n_threads)

    def evaluate(k):
        together.wait(20)
        seen.append(np.divide(1.0, np.float64(0)))

    seen = []
    with np.errstate(all="raise"):
        ThreadEngine(n_threads).run(evaluate, range(n_threads))
    assert seen == [np.inf] * n_threads


def test_guarded_threads_enter_at_once_last_one_restores(two_blas_threads):
    for _ in range(20):
        together, inside = threading.Barrier(4), []

        def work(together=together, inside=inside):
            together.wait(20)
            inside.append(blas_threads())
            together.wait(20)

        on_threads(guarded, [work] * 4)
        assert inside == [[1]] * 4
        assert blas_threads() == [2]


def test_guarded_first_thread_leaves_before_last_enters(two_blas_threads):
    entered, leave = threading.Event(), threading.Event()

    def first():
        entered.set()
        leave.wait(20)

    thread = threading.Thread(target=guarded, args=(first,))
    thread.start()
    entered.wait(20)

    def second():
        leave.set()
        thread.join()
        return blas_threads()

    assert guarded(second) == [1]
    assert blas_threads() == [2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_while_another_thread_computes_child_restores_the_callers_setting(two_blas_threads):
    entered, leave = threading.Event(), threading.Event()

    def compute():
        entered.set()
        leave.wait(20)

    def child_sets_three():
        threadpool_limits(3, user_api="blas")
        return guarded(blas_threads) == [1] and blas_threads() == [3]

    thread = threading.Thread(target=guarded, args=(compute,))
    thread.start()
    entered.wait(20)
    try:
        assert blas_threads() == [1]
        assert run_in_child(lambda: guarded(blas_threads) == [1] and blas_threads() == [2]) == 0
        assert run_in_child(child_sets_three) == 0
        assert blas_threads() == [1]
    finally:
        leave.set()
        thread.join()
    assert blas_threads() == [2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_inside_guarded_child_leaves_without_harm(two_blas_threads):
    def compute():
        child = os.fork()
        return child, blas_threads()

    child, inside = guarded(compute)
    if child == 0:
        try:
            right = guarded(blas_threads) == [1]
            os._exit(0 if right and blas_threads() == [2] else 1)
        finally:
            os._exit(2)
    assert inside == [1] and blas_threads() == [2]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_hooks_of_others_products_of_other_threads_wait():
    """Hooks run in the reverse order: this one after matconv's, which has seen no product."""
    code = """
import os, threading
during = lambda: None
os.register_at_fork(before=lambda: during())
import numpy as np
from matconv import conv2d
Z, W, begun, done = np.ones((1, 9, 9, 4)), np.ones((4, 3, 3, 4)), threading.Event(), threading.Event()
def compute():
    begun.set()
    conv2d(Z, W)
    done.set()
thread = threading.Thread(target=compute)
def during():
    conv2d(Z, W)  # the thread that forks does not wait for itself
    thread.start()
    begun.wait(20)
    print("computed" if done.wait(0.3) else "waits", flush=True)
child = os.fork()
if child == 0:
    conv2d(Z, W)
    os._exit(0)
thread.join(20)
print(done.is_set(), os.waitpid(child, 0)[1])
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("waits\nTrue 0\n", "")


def test_import_looks_for_no_blas():
    """Finding the libraries takes milliseconds: only the first computation does it."""
    code = "import matconv, sys; print('threadpoolctl' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("method", ["lbfgs", "sgd", "newton", "trust-ncg"])
def test_minimize_callback_has_the_callers_error_state(method):
    net = Network((4, 4, 1), [Dense(2)])
    f = Objective(net, np.ones((9, 4, 4, 1)), np.arange(9) % 2, "softmax", C=10)
    seen = []
    with np.errstate(over="call", invalid="raise"):
        expected = np.geterr()
        minimize(f, net.init(0), method, 1, callback=lambda state: seen.append(np.geterr()))
        assert np.geterr() == expected
    assert seen == [expected]


@pytest.mark.parametrize("method", ["lbfgs", "sgd", "newton", "trust-ncg"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_solvers_numpy_set_to_raise_denormals_and_overflow_pass(method, dtype, loss):
    tiny = np.finfo(dtype).tiny
    net = Network((4, 4, 1), [Conv(2, 3, activation="relu"), Dense(3)], dtype)
    rng = np.random.default_rng(0)
    Z = (rng.random((90, 4, 4, 1)) * np.sqrt(tiny)).astype(dtype)
    f = Objective(net, Z, np.arange(90) % 3, loss, C=1 / tiny)
    theta = (net.init(0) * np.sqrt(tiny)).astype(dtype)
    with np.errstate(all="raise"):
        result = minimize(f, theta, method, 2)
        value, gradient = f.value_and_gradient(theta)
        f.value(theta), f.outputs(theta), net.forward(theta, Z), net.predict(theta, Z)
    assert np.isfinite(result.f) and np.isfinite(value) and np.isfinite(gradient).all()
