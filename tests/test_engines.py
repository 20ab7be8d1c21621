"""Threads: results in order, everything restored, whatever goes wrong."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from test_blas_threads import blas_threads
from threadpoolctl import threadpool_limits

from matconv.engines import ThreadEngine, helpers
from matconv.engines.threads import shards
from matconv.engines.work import Work


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

    ThreadEngine(2).run(evaluate, range(50), consume, 3)
    assert 1 <= most <= 3


def test_whoever_finishes_what_is_due_consumes_it():
    """A thread that is long about one item keeps nobody from going on, nor results from going."""
    taken, second, gone = (threading.Event() for _ in range(3))
    consumers = []

    def evaluate(k):
        taken.set()
        if k == 0:
            second.wait(20)
        if k == 1:
            second.set()
            return gone.wait(20)
        return True

    def consume(done):
        assert done
        consumers.append(threading.get_ident())
        gone.set()  # the first item, the helper's: the caller is busy with the second

    work = Work(evaluate, consume, list(range(10)), 3)
    helper = threading.Thread(target=work.run)
    helper.start()
    taken.wait(20)
    work.run()
    work.finish()
    helper.join(20)
    work.raise_errors()
    assert len(consumers) == 10 and consumers[0] == helper.ident


def test_consuming_is_done_by_one_at_a_time():
    inside = threading.Lock()

    def consume(k):
        assert inside.acquire(blocking=False)
        time.sleep(0.001)
        inside.release()

    ThreadEngine(4).run(lambda k: time.sleep(0.001), range(60), consume)


def test_of_several_errors_that_of_the_first_item_is_raised():
    for _ in range(20):
        together = threading.Barrier(3)

        def evaluate(k, together=together):
            together.wait(20)
            time.sleep(0.001 * (3 - k))  # the first item is the last to fail
            raise RuntimeError(f"item {k}")

        with pytest.raises(RuntimeError, match="item 0"):
            ThreadEngine(3).run(evaluate, range(9), lambda done: None)


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


def test_what_is_no_exception_comes_before_earlier_errors():
    together = threading.Barrier(2)

    def evaluate(k):
        together.wait(20)
        raise (RuntimeError, KeyboardInterrupt)[k]

    with pytest.raises(KeyboardInterrupt):
        ThreadEngine(2).run(evaluate, range(2), lambda done: None)


def test_what_is_under_way_is_waited_for():
    together, finished = threading.Barrier(2), []

    def evaluate(k):
        together.wait(20)
        if k == 0:
            raise RuntimeError("at once")
        time.sleep(0.1)
        finished.append(k)

    with pytest.raises(RuntimeError, match="at once"):
        ThreadEngine(2).run(evaluate, range(2), lambda done: None)
    assert finished == [1]


@pytest.fixture
def interruptible():
    """Ctrl-C raises, though whoever started the tests may have ignored it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_the_caller_waits_for_the_last_item(interruptible):
    here, together, finished = threading.current_thread(), threading.Barrier(2), []

    def evaluate(k):
        together.wait(20)
        if threading.current_thread() is not here:
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            finished.append(k)

    with pytest.raises(KeyboardInterrupt):
        ThreadEngine(2).run(evaluate, range(2), lambda done: None)
    assert len(finished) == 1


def test_nothing_more_is_begun_after_ctrl_c(monkeypatch):
    begun, started = [], threading.Event()

    def interrupted(work):
        started.wait(20)
        raise KeyboardInterrupt

    def evaluate(k):
        begun.append(k)
        started.set()
        time.sleep(0.01)

    helper = Work.run
    monkeypatch.setattr(Work, "finish", interrupted)
    here = threading.current_thread()
    monkeypatch.setattr(
        Work, "run", lambda work: None if threading.current_thread() is here else helper(work)
    )
    with pytest.raises(KeyboardInterrupt):
        ThreadEngine(2).run(evaluate, range(500), lambda done: None)
    assert len(begun) < 5


def test_helpers_stay_for_the_next_engine():
    def two_threads():
        both, seen = threading.Barrier(2), []

        def evaluate(k):
            both.wait(20)
            return threading.get_ident()

        ThreadEngine(2).run(evaluate, range(2), seen.append)
        return set(seen)

    first = two_threads()
    assert len(first) == 2 and all(two_threads() == first for _ in range(5))


def test_goes_on_where_there_are_no_more_threads(monkeypatch):
    def none():
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(helpers, "_free", {})
    monkeypatch.setattr(helpers, "_Helper", none)
    seen, threads = [], set()

    def evaluate(k):
        threads.add(threading.current_thread())
        return k

    ThreadEngine(4).run(evaluate, range(20), seen.append)
    assert seen == list(range(20)) and threads == {threading.current_thread()}


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
