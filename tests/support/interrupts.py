"""Interrupts at every point of a call, and at random moments: ``python -m support.interrupts HOW CALL ...``.

    python -m support.interrupts points CALL N_THREADS [STEP]     each STEP-th point where a signal handler
                                                          of Python can run
    python -m support.interrupts signals CALL N_THREADS COUNT     so many real signals

After each one the state of the process must be what it was, and the next call must give the same
bits. A call that does not come back within a minute ends the process with all tracebacks.
"""

import faulthandler
import os
import random
import signal
import sys
import time

import numpy as np
from threadpoolctl import ThreadpoolController

from matconv import Conv, Dense, MaxPool, Network, Objective, minimize
from support.python_losses import SquaredError

LIMIT = 60
# a signal that comes late: after this long without one the call counts as uninterrupted
LONGEST = 0.02


class Calls:
    """What is interrupted; each returns arrays and numbers to be compared bit by bit."""

    def __init__(self, n_threads):
        self.n_threads = n_threads
        rng = np.random.default_rng(0)
        self.net = Network(
            (8, 8, 1), [Conv(8, 3, pad="same", activation="relu"), MaxPool(2), Dense(10)]
        )
        # several shards, and a network whose only shard is shared out layer by layer
        self.Z = rng.standard_normal((600, 8, 8, 1))
        y = rng.integers(0, 10, len(self.Z))
        self.wide = Network((64, 64, 8), [Conv(64, 3, pad="same", activation="relu"), Dense(2)])
        self.image = rng.standard_normal((1, 64, 64, 8))
        self.theta, self.wide_theta = self.net.init(0), self.wide.init(0)
        self.arguments = (self.Z, self.image, self.theta, self.wide_theta)
        for array in self.arguments:
            array.flags.writeable = False
        self.f = Objective(self.net, self.Z, y, "softmax", C=10, n_threads=n_threads)
        self.g = Objective(self.net, self.Z, y, SquaredError(), n_threads=n_threads)
        assert len(self.net.shards(len(self.Z))) > 1 and len(self.wide.shards(1)) == 1

    def forward(self):
        return self.net.forward(self.theta, self.Z, n_threads=self.n_threads)

    def forward_one_image(self):
        return self.wide.forward(self.wide_theta, self.image, n_threads=self.n_threads)

    def value_and_gradient(self):
        value, gradient = self.f.value_and_gradient(self.theta)
        return np.append(gradient, value)

    def python_loss(self):
        value, gradient = self.g.value_and_gradient(self.theta)
        return np.append(gradient, value)

    def lbfgs(self):
        return self.minimize(self.f, max_iterations=3)

    def sgd(self):
        return self.minimize(self.f, "sgd", 2, batch_size=200, seed=0)

    def newton(self):
        return self.minimize(self.f, "newton", 2, subsample=0.2, seed=0)

    def lbfgs_python_loss(self):
        return self.minimize(self.g, max_iterations=2)

    def minimize(self, objective, *arguments, **options):
        result = minimize(objective, self.theta, *arguments, **options)
        if result.interrupted:
            raise KeyboardInterrupt  # minimize's way to tell
        return np.append(result.theta, result.f)


NAMES = [name for name in vars(Calls) if name not in ("minimize", "__init__") and name[0] != "_"]
CONTROLLER = ThreadpoolController()


def state():
    """What a call must leave as it was."""
    return {
        "BLAS threads": [info["num_threads"] for info in CONTROLLER.info()],
        "affinity": os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None,
        "numpy's error state": np.geterr(),
        "signal handlers": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    }


class Comparison:
    """The state and the result before anything was interrupted."""

    def __init__(self, calls, call):
        self.calls, self.call = calls, call
        self.result = call()
        self.arguments = [array.tobytes() for array in calls.arguments]
        self.state = state()

    def check(self, where):
        found = state()
        wrong = [f"{k}: {v} -> {found[k]}" for k, v in self.state.items() if found[k] != v]
        if [array.tobytes() for array in self.calls.arguments] != self.arguments:
            wrong.append("an argument was written")
        if self.call().tobytes() != self.result.tobytes():
            wrong.append("the next call has other bits")
        if wrong:
            sys.exit(f"after an interrupt at {where}: {'; '.join(wrong)}")


class Injection:
    """Raises KeyboardInterrupt at the n-th place where Python may run a signal handler.

    These are the start of a function of Python and the end of a call of one of C, which a profile
    function sees; and backward jumps, for which the lines of a trace function stand.
    """

    def __init__(self, n):
        self.left = n
        self.where = None

    def profile(self, frame, event, argument):
        if event in ("call", "c_return"):
            self.point(frame)

    def trace(self, frame, event, argument):
        if event == "line":
            self.point(frame)
        return self.trace

    def point(self, frame):
        self.left -= 1
        if self.left == 0:
            self.stop()
            code = frame.f_code
            self.where = f"{os.path.basename(code.co_filename)}:{frame.f_lineno} {code.co_name}"
            raise KeyboardInterrupt

    def start(self):
        sys.settrace(self.trace)
        sys.setprofile(self.profile)

    @staticmethod
    def stop():
        sys.setprofile(None)
        sys.settrace(None)


def points(calls, call, step):
    """How many points were tried, each of them raised out of the call."""
    comparison = Comparison(calls, call)
    tried, n = 0, 1
    while True:
        injection = Injection(n)
        ended = "without an exception"
        try:
            injection.start()
            call()
            injection.stop()
        except KeyboardInterrupt:
            ended = None
        finally:
            injection.stop()
        if injection.where is None:
            return tried
        if ended and "interrupts.py" not in injection.where:
            sys.exit(f"interrupted at {injection.where} ({n}), the call ended {ended}")
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        comparison.check(f"{injection.where} ({n})")
        tried += 1
        n += step


def signals(calls, call, count):
    """So many SIGINT at random moments; longest wait between a signal and its exception."""
    comparison = Comparison(calls, call)
    moments = random.Random(0)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    comparison.state = state()
    began = time.perf_counter()
    call()
    usual = time.perf_counter() - began
    longest = 0.0
    for n in range(count):
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        wait = moments.uniform(1e-5, max(LONGEST, 3 * usual))
        began = time.perf_counter()
        try:
            signal.setitimer(signal.ITIMER_REAL, wait)
            while time.perf_counter() - began < LIMIT / 2:
                call()
            sys.exit(f"interrupt {n} was lost")
        except KeyboardInterrupt:
            longest = max(longest, time.perf_counter() - began - wait)
        if n % 20 == 0 or n == count - 1 or state() != comparison.state:
            comparison.check(f"random moment {n}")
    return longest


def main(how, name, n_threads, number):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    calls = Calls(int(n_threads))
    call = getattr(calls, name)
    call()  # what happens once only: lazy imports, threads
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    if how == "points":
        tried = points(calls, call, int(number))
        print(f"{name}, {n_threads} threads: {tried} points, 0 hangs, 0 lost, the same state")
    else:
        longest = signals(calls, call, int(number))
        print(
            f"{name}, {n_threads} threads: {number} signals, 0 hangs, 0 lost, the same state, "
            f"answered within {1e3 * longest:.0f} ms"
        )
    sys.stdout.flush()
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main(*sys.argv[1:])
