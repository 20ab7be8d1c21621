"""The time of a call that is not spent in kernels: Python before, between and after them.

Its "peer" is the compiled program, and the sums over shards, with memory that is there: `beside` is the call, less the
program, plus the program with no images, which is the cost of calling it.
"""

import contextlib
import statistics
import timeit

import cases
import numpy as np
import peers_matconv
import timing

from matconv.kernels.program import LOSSES
from matconv.kernels.sums import add


def program_calls(network, theta, Z, y, which):
    """The compiled program's work of a pass over Z, the same over no images, and its result."""
    program = network.program()
    sizes = (program.prepared_bytes, program.training_bytes)
    prepared, block = (np.empty(size, np.uint8) for size in sizes)
    outputs = np.empty((len(Z), *network.output_shape), network.dtype)
    shards = list(network.shards(len(Z)))
    slopes, nothing = [np.zeros_like(theta) for _ in shards], np.zeros_like(theta)

    def one(part, slope):
        if which == "forward":
            program.predict(theta, prepared, Z[part], (outputs[part],), block)
        else:
            batch = (Z[part], y[part], len(Z))
            program.loss(LOSSES["softmax"], theta, prepared, *batch, block, slope)

    def work():
        program.prepare(theta, prepared, which == "gradient")
        for part, slope in zip(shards, slopes, strict=True):
            one(part, slope)
        if which == "gradient":
            for slope in slopes[1:]:
                add(slopes[0], slope)

    def entry():
        for _ in shards:
            one(slice(0, 0), nothing)

    return work, entry, lambda: outputs if which == "forward" else slopes[0]


def measure(job, effort):
    """Part of a record: seconds of the public call and of its kernels, and `beside`."""
    which, dtype = job["pass"], np.dtype(job["dtype"])
    case = cases.NetCase(job["name"], job["images"])
    side = peers_matconv.net(case, dtype, job["threads"], job["algorithm"])
    difference = case.check(side, which)
    network, theta = peers_matconv.network(case, dtype, job["algorithm"])
    Z, y = case.data[0].astype(dtype), case.data[1]
    work, entry, _ = program_calls(network, theta, Z, y, which)
    call = (side.passes[which], contextlib.nullcontext)
    whole, kernels = timing.pair(call, (work, contextlib.nullcontext), effort)
    entering = min(timeit.repeat(entry, number=100, repeat=effort.repeats)) / 100
    excess = statistics.median(a - b for a, b in zip(whole, kernels, strict=True))
    about = {"sizes": case.sizes, "unit": "s", "beside": excess + entering}
    return {**about, **timing.compared(whole, kernels), "difference": [difference, 0.0]}
