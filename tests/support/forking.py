"""Forks while other threads compute: ``python forking.py ROUNDS``.

A lock of BLAS that a thread holds at the moment of a fork would stay taken in the child for ever.
"""

import os
import signal
import sys
import threading

import numpy as np

from matconv import Conv, Dense, MaxPool, Network, conv2d

LIMIT = 60


class Background:
    """Threads that call functions again and again until the block ends."""

    def __init__(self, *functions):
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(f,)) for f in functions]

    def _repeat(self, function):
        while not self._stopped.is_set():
            function()

    def __enter__(self):
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error):
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def main(rounds):
    rng = np.random.default_rng(0)
    # im2col: its products are too many and too small for BLAS to be idle for long
    net = Network(
        (16, 16, 4),
        [Conv(8, 3, pad="same", activation="relu"), MaxPool(2), Dense(10)],
        algorithm="im2col",
    )
    theta, Z = net.init(0), rng.standard_normal((400, 16, 16, 4))
    W, b = rng.standard_normal((4, 3, 3, 8)), rng.standard_normal(8)
    predictor = net.freeze(theta)
    calls = (
        lambda: net.forward(theta, Z, n_threads=2),
        lambda: conv2d(Z, W, b, algorithm="im2col"),
        lambda: predictor(Z),
    )
    expected = [call() for call in calls]
    with Background(*calls):
        for k in range(rounds):
            child = os.fork()
            if child == 0:
                signal.alarm(LIMIT)
                right = [np.array_equal(call(), one) for call, one in zip(calls, expected)]
                os._exit(0 if all(right) else 1)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status == -signal.SIGALRM:
                sys.exit(f"the child of fork {k} hangs")
            assert status == 0, f"the child of fork {k} ended with {status}"
    print(f"{rounds} forks while three threads compute: 0 hangs, the same bits in every child")


if __name__ == "__main__":
    signal.alarm(20 * LIMIT)
    main(int(sys.argv[1]))
