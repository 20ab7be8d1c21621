"""matconv on one thread, while other processes, one for each further thread, do the same.

The time of its pass, over the number of processes, is what independent processes reach together:
the limit of what threads can reach on this machine.
"""

import contextlib
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import cases
import peers_matconv

FORMS = ("auto",)


def net(case, dtype, threads, form):
    """The side of `peers_matconv` with one thread; the other processes run in its context only."""
    command = [sys.executable, str(Path(__file__).resolve())]
    command += [case.name, str(case.images), str(dtype), form]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(threads - 1)]
    for other in others:
        other.stdout.readline()  # it is ready
        other.send_signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def together():
        for other in others:
            other.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            for other in others:
                other.send_signal(signal.SIGSTOP)

    weakref.finalize(together, end, others)
    side = peers_matconv.net(case, dtype, 1, form)
    side.context = together
    return side


def end(others):
    """End processes, stopped or not."""
    for other in others:
        with other:
            other.kill()


def repeat(name, images, dtype, form):
    """Make steps until the parent process ends."""
    step = peers_matconv.net(cases.NetCase(name, int(images)), dtype, 1, form).passes["step"]
    step()
    print("ready", flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        step()


if __name__ == "__main__":
    repeat(*sys.argv[1:])
