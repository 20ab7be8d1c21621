"""Threads: results in order, BLAS limited and restored, whatever goes wrong."""

import os
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from matconv.engines import ThreadEngine, available_cores
from matconv.engines import blas_threads as blas_threads_module
from matconv.engines.blas_threads import single_blas_thread
from matconv.engines.threads import shards


def blas_threads():
    return sorted({info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"})


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_results_come_in_order(n_threads):
    random = np.random.default_rng(0)
    pauses = random.uniform(0, 0.002, 40)
    results = []

    def evaluate(k):
        time.sleep(pauses[k])
        return k

    ThreadEngine(n_threads).run(evaluate, range(40), results.append)
    assert results == list(range(40))


def test_few_results_wait():
    waiting, most, lock = 0, 0, threading.Lock()

    def evaluate(k):
        nonlocal waiting, most
        with lock:
            waiting += 1
            most = max(most, waiting)
        return k

    def consume(k):
        nonlocal waiting
        time.sleep(0.001)
        with lock:
            waiting -= 1

    ThreadEngine(2).run(evaluate, range(50), consume)
    assert 1 <= most <= 3


@pytest.mark.parametrize("n_threads", [1, 2])
def test_blas_has_one_thread_inside_and_what_it_had_after(n_threads):
    with threadpool_limits(2, user_api="blas"):
        seen = []
        ThreadEngine(n_threads).run(lambda k: blas_threads(), range(3), seen.append)
        assert seen == [[1]] * 3
        assert blas_threads() == [2]

        with single_blas_thread():
            with single_blas_thread():
                assert blas_threads() == [1]
            assert blas_threads() == [1]
        assert blas_threads() == [2]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("where", ["evaluate", "consume"])
def test_an_error_waits_for_what_runs_and_restores(n_threads, where):
    running, lock = 0, threading.Lock()

    def evaluate(k):
        nonlocal running
        with lock:
            running += 1
        time.sleep(0.002)
        with lock:
            running -= 1
        if where == "evaluate" and k == 3:
            raise RuntimeError("shard 3")
        return k

    def consume(k):
        if where == "consume" and k == 3:
            raise RuntimeError("shard 3")

    engine = ThreadEngine(n_threads)
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(RuntimeError, match="shard 3"):
            engine.run(evaluate, range(20), consume)
        assert running == 0
        assert blas_threads() == [2]
    results = []
    engine.run(lambda k: k, range(5), results.append)
    assert results == list(range(5))


def test_the_calling_thread_evaluates_too():
    both = threading.Barrier(2)  # opens only if two items are under way at once
    names = []

    def evaluate(k):
        both.wait(20)
        return threading.current_thread()

    ThreadEngine(2).run(evaluate, range(2), names.append)
    assert threading.current_thread() in names and len(set(names)) == 2


def test_what_is_no_exception_is_raised_whichever_thread_it_comes_from():
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
            engine.run(evaluate, range(50), lambda done: None)
        seen = []
        engine.run(lambda k: k, range(3), seen.append)
        assert seen == [0, 1, 2]


def test_an_interrupt_of_the_caller_does_not_wait_for_its_turn():
    here, both, mine = threading.current_thread(), threading.Barrier(2), []

    def evaluate(k):
        if k < 2:
            both.wait(20)
        if threading.current_thread() is not here:
            time.sleep(0.2)  # its first item is asked for all the while
            return
        mine.append(k)
        if len(mine) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ThreadEngine(2).run(evaluate, range(50), lambda done: None)
    assert len(mine) == 2


def test_a_call_does_not_wait_for_helpers_that_are_busy_elsewhere():
    engine = ThreadEngine(2)
    free, begun, waited = threading.Event(), threading.Barrier(3), []

    def slow(k):
        begun.wait(20)
        waited.append(free.wait(5))

    other = threading.Thread(target=engine.run, args=(slow, range(2), lambda done: None))
    other.start()
    begun.wait(20)  # both of the other call's items are under way: the pool has no thread left
    results = []
    engine.run(lambda k: k, range(10), results.append)
    assert not waited and results == list(range(10))
    free.set()
    other.join(20)
    assert waited == [True, True]


def test_works_in_a_forked_child():
    engine = ThreadEngine(2)
    total = []
    engine.run(lambda k: k, range(10), total.append)
    child = os.fork()
    if child == 0:
        results = []
        engine.run(lambda k: k * k, range(10), results.append)
        os._exit(0 if results == [k * k for k in range(10)] else 1)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        time.sleep(0.01)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert pid == child and os.waitstatus_to_exitcode(status) == 0


def test_shards_cover_everything_evenly():
    for l in (0, 1, 5, 64, 65, 1000):
        for count in {0 if l == 0 else 1, min(l, 3), l}:
            cut = shards(l, count)
            indices = [i for part in cut for i in range(part.start, part.stop)]
            assert len(cut) == count and indices == list(range(l))
            lengths = {part.stop - part.start for part in cut}
            assert not lengths or max(lengths) - min(lengths) <= 1


def test_all_cores_by_default():
    assert ThreadEngine().n_threads == available_cores() >= 1


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


def test_threads_that_come_first_at_once_share_one_limit(monkeypatch):
    """Otherwise the one that leaves last restores what another had set: BLAS on one thread."""
    with threadpool_limits(2, user_api="blas"):
        for _ in range(20):
            monkeypatch.setattr(blas_threads_module, "_limits", {})
            barrier = threading.Barrier(4)
            inside = []

            def work(barrier=barrier, inside=inside):
                barrier.wait()
                with single_blas_thread():
                    inside.append(blas_threads())
                    barrier.wait()

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert inside == [[1]] * 4
            assert blas_threads() == [2]


def test_whichever_thread_comes_first_or_leaves_last():
    """The thread that sets the limit need not be the one that restores it, nor the main one."""
    with threadpool_limits(2, user_api="blas"):
        entered, left = threading.Event(), threading.Event()

        def first():
            with single_blas_thread():
                entered.set()
                left.wait(10)

        def alone():
            with single_blas_thread():
                seen.append(blas_threads())

        thread = threading.Thread(target=first)
        thread.start()
        entered.wait(10)
        with single_blas_thread():
            left.set()
            thread.join()
            assert blas_threads() == [1]
        assert blas_threads() == [2]

        seen = []
        thread = threading.Thread(target=alone)
        thread.start()
        thread.join()
        assert seen == [[1]]
        assert blas_threads() == [2]
