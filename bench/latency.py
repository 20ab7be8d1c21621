"""What one image costs, and how much of that is Python.

The layers on no images at all cost only their Python; what a call of `Network.forward` adds to the
passes of its layers is Python as well.
"""

import timeit

import nets
import numpy as np
import shapes
from table import aligned, digits

DTYPES = ("float64", "float32")


def measure(dtype, repeats=15):
    """Medians in seconds: the call, its layers, its layers' Python; and all Python of the call."""
    net = shapes.NETS["lenet"]
    network = nets.for_matconv(net, dtype)
    theta = network.pack([(W.astype(dtype), b.astype(dtype)) for W, b in nets.parameters(net)])
    Z, _ = nets.data(net, 1, np.dtype(dtype))
    workspace, parameters = network.workspace(1), network.layout.views(theta)
    calls = {
        "call": lambda: network.forward(theta, Z, n_threads=1),
        "layers": lambda: workspace.forward(parameters, Z, keep=False),
        "python": lambda: workspace.forward(parameters, Z[:0], keep=False),
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
