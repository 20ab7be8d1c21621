"""What one image costs, and how much of that is Python.

The program on no images at all costs only its Python; what a call of `Network.forward` adds to the
program is Python as well.
"""

import timeit

import nets
import numpy as np
import shapes
from table import aligned, digits

DTYPES = ("float64", "float32")


def measure(dtype, repeats=15):
    """Medians in seconds: the call, its program, the program's Python; and all Python of it."""
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
    """Seconds of the call that are not its kernels'.

    Examples
    --------
    >>> round(beyond_kernels(call=140.0, layers=100.0, python=15.0))
    55
    """
    return call - layers + python


def run(given, say):
    """LeNet on one image, in both dtypes: records, and the lines that show them."""
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
