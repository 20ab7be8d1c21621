"""Forks while other threads compute: ``python -m support.forking ROUNDS``.

A lock of BLAS that a thread holds at the moment of a fork would stay locked in the child.
"""

import signal
import sys

import numpy as np

from matconv import Conv, Dense, MaxPool, Network, conv2d
from support.processes import run_in_child
from support.threads import Background

LIMIT = 60


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

    def repeated():
        return all(np.array_equal(call(), one) for call, one in zip(calls, expected))

    with Background(*calls):
        for k in range(rounds):
            status = run_in_child(repeated, LIMIT)
            assert status != -signal.SIGALRM, f"the child of fork {k} hangs"
            assert status == 0, f"the child of fork {k} ended with {status}"
    print(f"{rounds} forks while three threads compute: 0 hangs, the same bits in every child")


if __name__ == "__main__":
    signal.alarm(20 * LIMIT)
    main(int(sys.argv[1]))
