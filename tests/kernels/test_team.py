"""The native thread pool: every piece runs once, stops at any check, and no thread blocks another."""

import asyncio
import contextvars
import importlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from support import compiled
from support.interrupts import state
from support.processes import script

from matconv.kernels import workers
from matconv.kernels.workers import interrupt_check

START = np.arange(1, 38, dtype=np.uint64)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Where the module `pieces` is."""
    folder = tmp_path_factory.mktemp("pieces")
    compiled.build(folder)
    return folder


@pytest.fixture(scope="session")
def pieces(folder):
    sys.path.insert(0, str(folder))
    try:
        import pieces
    finally:
        sys.path.remove(str(folder))
    return pieces


@pytest.fixture
def counted_checks():
    """No check is chosen afterwards, whatever happens."""
    yield
    interrupt_check(None)


# Jobs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("count", [1, 2, 37])
def test_team_run_many_jobs_each_sees_the_pieces_before(pieces, n_threads, products, count):
    start = START[:count]
    sums, size = pieces.sums(start, 300, n_threads, products=products)
    assert np.array_equal(sums, compiled.expected_sums(start, 300))
    assert size == n_threads


def test_team_run_no_pieces_returns_at_once(pieces):
    assert pieces.sums([], 3, 2)[0].size == 0


def test_team_run_null_team_is_a_loop(pieces):
    assert pieces.without_team(1) == 1
    assert pieces.without_team(0) == 0


def test_team_run_callbacks_take_the_gil_on_every_participant(pieces):
    together, seen = threading.Barrier(2), []

    def call(k, participant):
        together.wait(20)
        seen.append((k, participant, threading.get_ident()))

    pieces.calls(call, 2, 2)
    assert {k for k, _, _ in seen} == {0, 1} == {participant for _, participant, _ in seen}
    (own,) = (thread for _, participant, thread in seen if participant == 0)
    assert own == threading.get_ident() and len({thread for *_, thread in seen}) == 2


@pytest.mark.parametrize("n_threads", [2, 4])
def test_team_run_helpers_that_are_late_are_not_waited_for(folder, n_threads):
    assert script("teamwork.py", folder, "late", n_threads) == f"{n_threads} participants\n"


def test_team_open_no_more_threads_the_caller_is_alone(folder):
    assert script("teamwork.py", folder, "no_threads", 4) == "1 participants\n"


def test_hammer_callers_with_teams_all_right(folder):
    assert "800 calls: 0 wrong" in script("teamwork.py", folder, "hammer", 800)


# Stopping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2])
def test_watch_poll_of_c_nonzero_stops_all_participants(pieces, n_threads):
    begun, polls = pieces.stopped_by_poll(100, n_threads)
    assert 1 <= begun <= n_threads and polls == 2


def interrupted_at_every_check(call, right):
    """How often the call was interrupted: at its first check, its second one, and so on."""
    before, n = state(), 0
    while True:
        n += 1
        interrupt_check(n)
        try:
            call()
        except KeyboardInterrupt:
            assert interrupt_check(None) >= n
        else:
            assert interrupt_check(None) < n
            return n - 1
        assert state() == before
        assert right(call())


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("products", [False, True])
def test_interrupt_check_native_pieces_every_check_raises_and_restores(
    pieces, counted_checks, n_threads, products
):
    expected = compiled.expected_sums(START, 3)
    interrupts = interrupted_at_every_check(
        lambda: pieces.sums(START, 3, n_threads, products=products)[0],
        lambda sums: np.array_equal(sums, expected),
    )
    # the caller checks before each job, and once more before each of its pieces
    assert interrupts >= 3


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_interrupt_check_python_items_every_check_raises_and_restores(counted_checks, n_threads):
    def call():
        seen = []
        workers.run(seen.append, list(range(12)), n_threads)
        return sorted(seen)

    assert interrupted_at_every_check(call, lambda seen: seen == list(range(12))) >= 1


def test_interrupt_check_zero_counts_and_none_does_not(counted_checks):
    interrupt_check(0)
    workers.run(id, list(range(5)), 1)
    assert interrupt_check(None) == 5
    workers.run(id, list(range(5)), 1)
    assert interrupt_check(None) == 0


@pytest.mark.parametrize("where", ["helper", "caller"])
def test_run_error_stops_passes_under_way(pieces, where):
    """The other item would never end by itself."""
    here, together = threading.current_thread(), threading.Barrier(2)

    def evaluate(k):
        together.wait(20)
        if (threading.current_thread() is here) == (where == "caller"):
            raise RuntimeError("enough")
        pieces.wait_until_stopped()

    with pytest.raises(RuntimeError, match="enough"):
        workers.run(evaluate, [0, 1], 2)


def test_run_error_stops_passes_of_calls_inside(pieces):
    here, together = threading.current_thread(), threading.Barrier(2)

    def evaluate(k):
        together.wait(20)
        if threading.current_thread() is here:
            raise RuntimeError("enough")
        workers.run(lambda j: pieces.wait_until_stopped(), [0, 1, 2], 2)

    with pytest.raises(RuntimeError, match="enough"):
        workers.run(evaluate, [0, 1], 2)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_run_signal_stops_passes_of_all_threads(pieces, interruptible, n_threads):
    together = threading.Barrier(n_threads)

    def evaluate(k):
        together.wait(20)
        if k == 0:
            os.kill(os.getpid(), signal.SIGINT)
        pieces.wait_until_stopped()

    with pytest.raises(KeyboardInterrupt):
        workers.run(evaluate, list(range(n_threads)), n_threads)


def test_run_signal_handler_raises_its_own_error(pieces):
    class Alarm(Exception):
        pass

    def ring(number, frame):
        raise Alarm("rung")

    def evaluate(k):
        if k == 0:
            os.kill(os.getpid(), signal.SIGUSR1)
        pieces.wait_until_stopped()

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with pytest.raises(Alarm, match="rung"):
            workers.run(evaluate, [0, 1], 2)
    finally:
        signal.signal(signal.SIGUSR1, before)


# Inside of pieces ---------------------------------------------------------------------------------


def test_watch_current_inside_of_items_only(pieces):
    here, together, seen = threading.current_thread(), threading.Barrier(2), {}

    def evaluate(k):
        together.wait(20)
        seen[threading.current_thread() is here] = pieces.current()

    workers.run(evaluate, [0, 1], 2)
    assert seen == {True: (True, True, False), False: (True, False, False)}
    assert pieces.current() == (False, True, False)


def test_watch_current_copied_context_is_not_that_of_another_thread(pieces):
    contexts, seen = [], []

    def evaluate(k):
        contexts.append(contextvars.copy_context())
        seen.append(asyncio.run(asyncio.to_thread(pieces.current)))

    workers.run(evaluate, [0], 1)
    seen.append(contexts[0].run(pieces.current))  # after the call
    assert seen == [(False, True, False)] * 2


MODULES = ("colorsys", "sched")  # no other module imports them
AFFINITY = "import os; print(sorted(os.sched_getaffinity(0)))"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity of threads")
def test_run_items_that_import_and_start_processes_have_the_affinity_of_the_caller():
    together, seen = threading.Barrier(2), []

    def evaluate(k):
        together.wait(20)
        importlib.import_module(MODULES[k])

        done = subprocess.run(
            [sys.executable, "-c", AFFINITY], capture_output=True, text=True, check=True
        )
        seen.append(done.stdout.strip())

    workers.run(evaluate, [0, 1], 2)
    assert seen == [str(sorted(os.sched_getaffinity(0)))] * 2


def asleep(thread):
    """Whether a thread of this process sleeps."""
    return Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/self/task")
def test_run_helpers_woken_from_sleep_keep_their_affinity():
    """A helper is woken with one processor excluded, and restores its affinity."""
    every, together, threads = os.sched_getaffinity(0), threading.Barrier(3), set()

    def evaluate(k):
        threads.add(threading.get_native_id())
        seen.append(os.sched_getaffinity(0))
        together.wait(20)

    for affinity in [every] * 20 + [{min(every)}] * 3 + [every] * 3:
        for thread in [0, *threads]:
            os.sched_setaffinity(thread, affinity)
        seen = []
        workers.run(evaluate, [0, 1, 2], 3)
        assert seen == [affinity] * 3
        others = threads - {threading.get_native_id()}
        while not all(map(asleep, others)):
            pass
        assert [os.sched_getaffinity(thread) for thread in others] == [affinity] * len(others)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux places threads")
def test_placing_sleeping_thread_excludes_the_processor_of_the_caller(pieces):
    every, sleeper = os.sched_getaffinity(0), pieces.Sleeper()
    cpu, known, awake, seen, threads = min(every), threading.Event(), threading.Event(), [], []

    def sleep():
        sleeper.know()
        threads.append(threading.get_native_id())
        known.set()
        awake.wait(20)
        sleeper.restore()
        seen.append(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpu})
        sleeper.restore()  # nothing was excluded since
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=sleep)
    thread.start()
    try:
        assert known.wait(20)
        os.sched_setaffinity(0, {cpu})
        sleeper.exclude()
        # a thread with a single processor keeps it
        assert os.sched_getaffinity(threads[0]) == (every - {cpu} or every)
        os.sched_setaffinity(0, every)
        pieces.Sleeper().exclude()  # no thread is known, and that of the caller is not changed
        assert os.sched_getaffinity(0) == every
    finally:
        os.sched_setaffinity(0, every)
        awake.set()
        thread.join(20)
    assert seen == [every, {cpu}]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux places threads")
def test_placing_thread_on_other_processors_is_left_alone(pieces):
    """Nothing is excluded, so nothing is restored: another affinity since then stays."""
    every, sleeper = os.sched_getaffinity(0), pieces.Sleeper()
    known, awake, seen, threads = threading.Event(), threading.Event(), [], []

    def sleep():
        sleeper.know()
        threads.append(threading.get_native_id())
        known.set()
        awake.wait(20)
        sleeper.restore()
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=sleep)
    thread.start()
    try:
        assert known.wait(20)
        os.sched_setaffinity(threads[0], {max(every)})
        os.sched_setaffinity(0, {min(every)})
        sleeper.exclude()
        os.sched_setaffinity(threads[0], every)
    finally:
        os.sched_setaffinity(0, every)
        awake.set()
        thread.join(20)
    assert seen == [every]


# Forks --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forks_while_teams_compute_children_compute(folder):
    assert "50 forks while teams compute: 0 hangs" in script("teamwork.py", folder, "forks", 50)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_by_a_helper_child_ends(folder):
    assert "5 children" in script("teamwork.py", folder, "fork_by_a_helper", 5)


# Memory -------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_team_open_no_memory_for_buffers_fewer_participants(folder):
    """200 MiB: of stacks of 8 MiB and buffers of 32 MiB each, arenas of malloc aside."""
    participants = [
        int(
            re.match(r"(\d) participants", script("teamwork.py", folder, "no_buffers", mebibytes))[
                1
            ]
        )
        for mebibytes in (20, 60, 1000)
    ]
    assert participants == [1, 2, 4]
