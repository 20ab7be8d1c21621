"""First products under a limit of memory: ``python limited.py CALL MEBIBYTES``.

Without memory for its buffer OpenBLAS would try without end. Prints what the call raised or returned;
afterwards, without the limit, it must succeed. A hang ends the process with all tracebacks.
"""

import contextlib
import resource
import sys

import numpy as np

from matconv import (
    Conv,
    Dense,
    Network,
    Objective,
    conv2d,
    conv2d_backward,
    dense,
    dense_backward,
    minimize,
)
from matconv.kernels._guard import guarded
from support import capi
from support.capi import Activation, Geometry, entry, pointers
from support.describing import encoded
from support.hangs import end_after
from support.opened import Opened
from support.python_losses import SquaredError


class Calls:
    """Small ones, whose own memory fits within any limit; made without a product."""

    def __init__(self):
        self.net = Network((6, 6, 2), [Conv(3, 3), Dense(3)])
        self.theta = self.net.init(0)
        self.Z, y = np.ones((40, 6, 6, 2)), np.arange(40) % 3
        self.f = Objective(self.net, self.Z, y, "softmax", n_threads=2)
        self.g = Objective(self.net, self.Z, y, SquaredError(), n_threads=2)
        self.predictor = self.net.freeze(self.theta)
        self.W, self.dS = np.ones((2, 3, 3, 3)), np.ones((40, 4, 4, 3))
        self.opened = Opened(encoded(self.net, self.theta, 1))
        self.out = np.empty((40, 3))
        self.scratch = np.empty(max(self.opened.workspace(40), self.predictor.workspace_size(40)))
        self.g_ = Geometry(
            images=40, height=6, width=6, channels=2, filters=3, kernel_height=3, kernel_width=3
        )

    def forward(self):
        self.net.forward(self.theta, self.Z, n_threads=2)

    def predict(self):
        self.net.predict(self.theta, self.Z, n_threads=1)

    def value(self):
        self.f.value(self.theta)

    def gradient(self):
        self.f.value_and_gradient(self.theta)

    def outputs(self):
        self.f.outputs(self.theta)

    def python_loss(self):
        self.g.value_and_gradient(self.theta)

    def into(self):
        self.predictor.into(self.Z, self.out, self.scratch)

    def conv2d(self):
        conv2d(self.Z, self.W, algorithm="im2col")

    def conv2d_winograd(self):
        conv2d(self.Z, self.W, algorithm="winograd")

    def conv2d_backward(self):
        conv2d_backward(self.dS, self.Z, self.W)

    def dense(self):
        dense(self.out, np.ones((3, 4)))

    def dense_backward(self):
        dense_backward(np.ones((40, 4)), self.out, np.ones((3, 4)))

    def lbfgs(self):
        minimize(self.f, self.theta, max_iterations=2)

    def status(self, name, *arguments):
        status = entry(name, "float64")(*arguments)
        if status == capi.MEMORY:
            assert np.isnan(self.out).all()
            raise MemoryError("MATCONV_MEMORY")
        assert status == capi.OK

    def c_predict(self):
        self.out[...] = np.nan
        self.status(
            "network_predict", self.opened.handle.value, 40, self.Z, pointers(self.out),
            self.scratch, self.scratch.size,
        )  # fmt: skip

    def c_conv_forward(self):
        self.out[...] = np.nan
        S, relu = np.empty_like(self.dS), Activation(1, 0, 0)
        scratch = np.empty(10**5)
        self.status(
            "conv_forward", self.g_, 1, self.Z, self.W, None, relu, S, scratch, scratch.size
        )

    def c_conv_backward(self):
        self.out[...] = np.nan
        scratch, dW = np.empty(10**5), np.empty_like(self.W)
        self.status(
            "conv_backward", self.g_, 1, self.dS, self.Z, self.W, None, dW, None, scratch,
            scratch.size,
        )  # fmt: skip


NAMES = [name for name in vars(Calls) if name[0] != "_" and name != "status"]


def main(name, mebibytes):
    calls = Calls()
    guarded(int)  # finds the libraries of BLAS, which takes imports
    with contextlib.suppress(ImportError):
        import scipy.optimize  # noqa: F401 - what a solver imports
    end_after(60)
    with open("/proc/self/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (int(mebibytes) << 20), -1))
    try:
        getattr(calls, name)()
        said = "computed"
    except MemoryError as error:
        said = str(error)
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    getattr(calls, name)()
    print(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
