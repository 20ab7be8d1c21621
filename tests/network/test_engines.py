"""The thread engine: every item runs once, and the process state is restored after errors."""

import contextvars
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest
from support.processes import blas_threads, run_in_child
from support.threads import on_threads
from threadpoolctl import threadpool_limits

from matconv.engines import ThreadEngine


@pytest.mark.parametrize("n_threads", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_run_every_item_once_begun_in_ascending_order_by_each_thread(n_threads, count):
    begun = []  # list.append is atomic

    def evaluate(k):
        begun.append((threading.get_ident(), k))

    ThreadEngine(n_threads).run(evaluate, range(count))
    assert sorted(k for _, k in begun) == list(range(count))
    for thread in {thread for thread, _ in begun}:
        own = [k for one, k in begun if one == thread]
        assert own == sorted(own)


def test_run_several_errors_raises_that_of_first_item():
    for _ in range(20):
        together = threading.Barrier(3)

        def evaluate(k, together=together):
            together.wait(20)
            time.sleep(0.001 * (3 - k))  # the first item is the last to fail
            raise RuntimeError(f"item {k}")

        with pytest.raises(RuntimeError, match="item 0"):
            ThreadEngine(3).run(evaluate, range(9))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_run_error_waits_for_running_items_and_restores(n_threads):
    running, lock = 0, threading.Lock()

    def evaluate(k):
        nonlocal running
        with lock:
            running += 1
        time.sleep(0.002)
        with lock:
            running -= 1
        if k == 3:
            raise RuntimeError("shard 3")

    engine = ThreadEngine(n_threads)
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(RuntimeError, match="shard 3"):
            engine.run(evaluate, range(20))
        assert running == 0
        assert blas_threads() == [2]
    seen = []
    engine.run(seen.append, range(5))
    assert sorted(seen) == list(range(5))


def test_run_calling_thread_evaluates_too():
    both = threading.Barrier(2)  # opens only if two items are under way at once
    names = []

    def evaluate(k):
        both.wait(20)
        names.append(threading.current_thread())

    ThreadEngine(2).run(evaluate, range(2))
    assert threading.current_thread() in names and len(set(names)) == 2


def test_run_base_exception_of_any_thread_raised():
    class Stop(BaseException):
        pass

    here = threading.current_thread()
    for where in ("helper", "caller"):
        started = threading.Barrier(2)

        def evaluate(k, where=where, started=started):
            if k < 2:
                started.wait(20)
                if (threading.current_thread() is here) == (where == "caller"):
                    raise Stop(where)

        engine = ThreadEngine(2)
        with pytest.raises(Stop, match=where):
            engine.run(evaluate, range(50))
        seen = []
        engine.run(seen.append, range(3))
        assert sorted(seen) == [0, 1, 2]


def test_run_base_exception_precedes_earlier_errors():
    together = threading.Barrier(2)

    def evaluate(k):
        together.wait(20)
        raise (RuntimeError, KeyboardInterrupt)[k]

    with pytest.raises(KeyboardInterrupt):
        ThreadEngine(2).run(evaluate, range(2))


def test_run_error_waits_for_running_item():
    together, finished = threading.Barrier(2), []

    def evaluate(k):
        together.wait(20)
        if k == 0:
            raise RuntimeError("at once")
        time.sleep(0.1)
        finished.append(k)

    with pytest.raises(RuntimeError, match="at once"):
        ThreadEngine(2).run(evaluate, range(2))
    assert finished == [1]


def test_run_ctrl_c_while_caller_waits_raises_after_last_item(interruptible):
    here, together, finished = threading.current_thread(), threading.Barrier(2), []

    def evaluate(k):
        together.wait(20)
        if threading.current_thread() is not here:
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            finished.append(k)

    with pytest.raises(KeyboardInterrupt):
        ThreadEngine(2).run(evaluate, range(2))
    assert len(finished) == 1


def test_run_interrupt_helpers_receive_no_more_work(interruptible):
    here, both, begun = threading.current_thread(), threading.Barrier(2), []

    def evaluate(k):
        begun.append(k)
        if k < 2:
            both.wait(20)
        if threading.current_thread() is here:
            raise KeyboardInterrupt
        time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        ThreadEngine(2).run(evaluate, range(500))
    assert len(begun) == 2


def test_helpers_stay_for_the_next_engine():
    def two_threads():
        both, seen = threading.Barrier(2), []

        def evaluate(k):
            both.wait(20)
            seen.append(threading.get_ident())

        ThreadEngine(2).run(evaluate, range(2))
        return set(seen)

    first = two_threads()
    assert len(first) == 2 and all(two_threads() == first for _ in range(5))


def test_run_no_more_threads_caller_evaluates_all():
    """In a process of its own, whose pool is empty: a stack that no memory can hold."""
    code = """
import threading
from matconv.engines import ThreadEngine
threading.stack_size(1 << 46)
threads, seen = set(), []
def evaluate(k):
    threads.add(threading.get_ident())
    seen.append(k)
ThreadEngine(4).run(evaluate, range(20))
assert seen == list(range(20)) and threads == {threading.get_ident()}
threading.stack_size(0)
both = threading.Barrier(2)
ThreadEngine(2).run(lambda k: both.wait(20), range(2))
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_threading_module_replaced_engine_does_not_use_it():
    """As gevent and eventlet replace its parts by ones that belong to one thread."""
    code = """
import threading, _thread, queue, concurrent.futures
def refuse(*arguments, **options):
    raise AssertionError("used by the engine")
import numpy as np
from matconv import Conv, Dense, Network, Objective
from matconv.kernels._guard import guarded
guarded(int)
for module, names in ((threading, ("Lock", "RLock", "Condition", "Event", "Thread", "Semaphore")),
                      (_thread, ("allocate_lock", "start_new_thread")), (queue, ("Queue",)),
                      (concurrent.futures, ("ThreadPoolExecutor",))):
    for name in names:
        setattr(module, name, refuse)
net = Network((8, 8, 1), [Conv(4, 3, activation="relu"), Dense(3)])
Z, y = np.ones((3000, 8, 8, 1)), np.arange(3000) % 3
f = Objective(net, Z, y, "softmax", n_threads=2)
assert len(net.shards(3000)) > 1
one = Objective(net, Z, y, "softmax", n_threads=1)
theta = net.init(0)
assert f.value(theta) == one.value(theta)
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity of threads")
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_affinity_is_that_of_the_caller_on_every_thread(n_threads):
    before, together, places = os.sched_getaffinity(0), threading.Barrier(n_threads), []

    def evaluate(k):
        together.wait(20)
        places.append(os.sched_getaffinity(0))

    ThreadEngine(n_threads).run(evaluate, range(n_threads))
    assert places == [before] * n_threads
    assert os.sched_getaffinity(0) == before


def test_run_nested_calls_share_the_pool():
    results = []

    def inner(k):
        ThreadEngine(3).run(lambda j: results.append(10 * k + j), range(5))

    ThreadEngine(3).run(inner, range(8))
    assert sorted(results) == sorted(10 * k + j for k in range(8) for j in range(5))


def test_run_many_callers_each_gets_its_results():
    def call(number):
        for _ in range(50):
            results = []
            ThreadEngine(3).run(results.append, range(number, number + 20))
            assert sorted(results) == list(range(number, number + 20))
        finished.append(number)

    finished = []
    on_threads(call, range(8))
    assert sorted(finished) == list(range(8))


def test_run_context_variables_seen_by_every_thread():
    variable = contextvars.ContextVar("variable", default="nothing")
    token = variable.set("the caller's")
    together, seen = threading.Barrier(2), []

    def evaluate(k):
        together.wait(20)
        value = variable.get()
        variable.set("changed")
        seen.append(value)

    try:
        ThreadEngine(2).run(evaluate, range(2))
        assert seen == ["the caller's"] * 2 and variable.get() == "the caller's"
    finally:
        variable.reset(token)


def test_run_results_and_errors_released_afterwards():
    class Big:
        pass

    class Failure(Exception):
        pass

    seen = []

    def succeed(k):
        big = Big()
        seen.append(weakref.ref(big))
        return big

    ThreadEngine(2).run(succeed, range(5))
    assert all(reference() is None for reference in seen) and len(seen) == 5

    def fail(k):
        big = Big()
        seen.append(weakref.ref(big))
        raise Failure

    seen.clear()
    gc.disable()
    try:
        with pytest.raises(Failure):
            ThreadEngine(2).run(fail, range(5))
        assert seen and all(reference() is None for reference in seen)
    finally:
        gc.enable()


def test_run_busy_helpers_are_not_waited_for():
    engine = ThreadEngine(2)
    free, begun, waited = threading.Event(), threading.Barrier(3), []

    def slow(k):
        begun.wait(20)
        waited.append(free.wait(5))

    other = threading.Thread(target=engine.run, args=(slow, range(2)))
    other.start()
    begun.wait(20)  # both of the other call's items are under way: the pool has no thread left
    results = []
    engine.run(results.append, range(10))
    assert not waited and sorted(results) == list(range(10))
    free.set()
    other.join(20)
    assert waited == [True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_child_has_a_pool_of_its_own():
    engine = ThreadEngine(2)
    engine.run(lambda k: k, range(10))

    def compute():
        results, both = [], threading.Barrier(2)

        def evaluate(k):
            if k < 2:
                both.wait(20)
            results.append(k * k)

        engine.run(evaluate, range(10))
        return sorted(results) == [k * k for k in range(10)]

    assert run_in_child(compute) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_inside_a_call_child_is_told_and_parent_goes_on():
    both, here, children = threading.Barrier(2), os.getpid(), []

    def evaluate(k):
        both.wait(20)
        if threading.current_thread() is threading.main_thread():
            children.append(os.fork())
        elif os.getpid() == here:
            time.sleep(0.1)
        results.append(k)

    message, results = None, []
    try:
        ThreadEngine(2).run(evaluate, range(2))
    except RuntimeError as error:
        message = str(error)
    if os.getpid() != here:
        told = message is not None and "forked during a computation" in message
        os._exit(0 if told else 1)
    assert message is None and sorted(results) == [0, 1]
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0


@pytest.mark.catalogue(42)
@pytest.mark.parametrize("n_threads", [0, -1, 10**6])
def test_number_of_threads_out_of_range(n_threads):
    with pytest.raises(ValueError, match=f"n_threads must be from 1 to 1024, got {n_threads}"):
        ThreadEngine(n_threads)


@pytest.mark.catalogue(42)
@pytest.mark.parametrize("n_threads", ["a", 1.5, True])
def test_number_of_threads_of_another_kind(n_threads):
    with pytest.raises(TypeError, match=f"n_threads must be an integer or None, got {n_threads!r}"):
        ThreadEngine(n_threads)
