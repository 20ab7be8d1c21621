"""Time of one image, and the part of it that is Python.

The time of the program on no images is Python, and so is the time that a call of `Network.forward`
adds to the program.
"""

import timeit

import nets
import numpy as np
import shapes
from table import aligned, digits

DTYPES = ("float64", "float32")


def measure(dtype, repeats=15):
    """Return medians in seconds: the call, its program, the program's Python, all Python."""
    net = shapes.NETS["lenet"]
    network = nets.for_matconv(net, dtype)
    theta = network.pack([(W.astype(dtype), b.astype(dtype)) for W, b in nets.parameters(net)])
    Z, _ = nets.data(net, 1, np.dtype(dtype))
    program = network.program()
    prepared, block = (
        np.empty(size, np.uint8) for size in (program.prepared_bytes, program.inference_bytes)
    )
    outputs = (np.empty((1, network.n_outputs), dtype),)

    def layers():
        program.prepare(theta, prepared, False)
        program.predict(theta, prepared, Z, outputs, block)

    calls = {
        "call": lambda: network.forward(theta, Z, n_threads=1),
        "layers": layers,
        "python": lambda: program.predict(theta, prepared, Z[:0], outputs, block),
    }
    samples = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            samples[name].append(min(timeit.repeat(call, number=100, repeat=3)) / 100)
    found = {name: float(np.median(times)) for name, times in samples.items()}
    return {"dtype": dtype, **found, "overhead": beyond_kernels(**found)}


def beyond_kernels(call, layers, python):
    """Return the seconds of a call outside of its kernels.

    Examples
    --------
    >>> round(beyond_kernels(call=140.0, layers=100.0, python=15.0))
    55
    """
    return call - layers + python


def run(given, say):
    """Return records of LeNet on one image in both dtypes, and the lines of a report."""
    records = [measure(dtype) for dtype in given.dtypes]
    head = ("lenet, 1 image", "call us", "kernels us", "Python us")
    rows = [
        (
            x["dtype"],
            *(digits(1e6 * t) for t in (x["call"], x["call"] - x["overhead"], x["overhead"])),
        )
        for x in records
    ]
    return {"latency": records}, ["", *aligned([head, *rows])]
