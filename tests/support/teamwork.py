"""The thread pool in long runs and across forks: ``python teamwork.py FOLDER NAME ARGUMENT``.

FOLDER has the module that `compiled.build` makes; NAME is a function of this file. A run that hangs
ends with the tracebacks of all threads.
"""

import os
import sys
import threading
from functools import partial

import numpy as np

from matconv.kernels import workers
from support.compiled import expected_sums
from support.hangs import end_after
from support.processes import run_in_child
from support.threads import Background, on_threads

LIMIT = 300
START = np.arange(23, dtype=np.uint64)


def hammer(calls, callers=8, n_threads=2):
    """Calls with native pieces, with callbacks, and with items of Python, by several callers."""
    calls = int(calls)
    expected = expected_sums(START, 5)

    def native(products):
        sums, _ = pieces.sums(START, 5, n_threads, products=products)
        assert np.array_equal(sums, expected)

    def callbacks():
        seen = []
        pieces.calls(lambda k, participant: seen.append((k, participant)), 6, n_threads)
        assert sorted(k for k, _ in seen) == list(range(6))
        assert {participant for _, participant in seen} <= set(range(n_threads))

    def items():
        seen = []
        workers.run(seen.append, list(range(6)), n_threads)
        assert sorted(seen) == list(range(6))

    kinds = (lambda: native(False), lambda: native(True), callbacks, items)

    def call(first):
        for k in range(first, calls, callers):
            kinds[k % len(kinds)]()

    on_threads(call, range(callers))
    print(f"{callers} callers with {n_threads} threads each, {calls} calls: 0 wrong")


def two_threads_evaluate():
    """Return whether two items are evaluated at the same time."""
    together, seen = threading.Barrier(2), []
    workers.run(lambda k: seen.append(together.wait(20)), [0, 1], 2)
    return len(seen) == 2


def forks(rounds):
    """Forks while teams compute; each child computes with its own team."""
    expected = expected_sums(START, 3)

    def compute(products, watched, duration):
        sums, _ = pieces.sums(START, 3, 2, products=products, watched=watched, duration=duration)
        assert np.array_equal(sums, expected)

    def in_child():
        sums, size = pieces.sums(START, 3, 2, products=True)
        return np.array_equal(sums, expected) and size == 2 and two_threads_evaluate()

    # long jobs, so that forks come between their pieces, and short ones
    kinds = (True, False, 2e-4), (True, True, 0), (False, True, 0)
    with Background(*(partial(compute, *kind) for kind in kinds)):
        for k in range(int(rounds)):
            status = run_in_child(in_child, 60)
            assert status == 0, f"the child of fork {k} ended with {status}"
    print(f"{rounds} forks while teams compute: 0 hangs")


def fork_by_a_helper(count):
    """The child has only the helper's thread, for which no thread waits: it ends."""
    here, children = threading.main_thread(), []

    for _ in range(int(count)):
        together = threading.Barrier(2)

        def evaluate(k, together=together):
            together.wait(20)
            if threading.current_thread() is not here:
                children.append(os.fork())

        workers.run(evaluate, [0, 1], 2)
        assert os.waitstatus_to_exitcode(os.waitpid(children.pop(), 0)[1]) == 0
    print(f"{count} children of helpers: all ended")


def late(n_threads):
    """Helpers that cannot begin, as the caller has the GIL: the caller does not wait for them."""
    sums, size = pieces.sums(START, 4, int(n_threads), with_gil=True)
    assert np.array_equal(sums, expected_sums(START, 4))
    print(f"{size} participants")


def no_threads(n_threads):
    """A system without memory for the stack of another thread."""
    threading.stack_size(1 << 46)
    sums, size = pieces.sums(START, 4, int(n_threads))
    assert np.array_equal(sums, expected_sums(START, 4))
    print(f"{size} participants")


def no_buffers(mebibytes):
    """Limited memory: there are as many participants as buffers."""
    import resource

    pieces.sums(START, 1, 1)  # the first buffer, which the caller needs
    with open("/proc/self/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (int(mebibytes) << 20), -1))
    sums, size = pieces.sums(START, 4, 4, products=True)
    assert np.array_equal(sums, expected_sums(START, 4))
    print(f"{size} participants")


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    end_after(LIMIT)
    import pieces

    globals()[sys.argv[2]](*sys.argv[3:])
