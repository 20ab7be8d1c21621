"""Growth of time and memory of a gradient of LeNet with the number of images."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import memory
import nets
import numpy as np
import shapes

IMAGES = (100, 1_000, 10_000, 100_000)
QUICK = (50, 100, 200)


def exponent(found):
    """Return the slope of log seconds over log images, by least squares.

    Examples
    --------
    >>> round(exponent([{"images": n, "seconds": 3 * n**1.5} for n in (1, 10, 100)]), 12)
    1.5
    """
    logs = np.log([(one["images"], one["seconds"]) for one in found]).T
    return float(np.polyfit(*logs, 1)[0])


def growth(found):
    """Return the ratio of the peak memory with the most images to that with the next fewer.

    Examples
    --------
    >>> growth([{"images": n, "bytes": b} for n, b in ((100, 50), (10, 40), (1, 9))])
    1.25
    """
    *_, fewer, most = sorted(found, key=lambda one: one["images"])
    return most["bytes"] / fewer["bytes"]


def child(images, threads, least=1.0):
    """Measure the peak memory of the first gradient and the median seconds of further ones.

    Calls are repeated for `least` seconds; a longer one is not repeated.
    """
    net = shapes.NETS["lenet"]
    work = memory.matconv_gradient(net, *nets.data(net, images, np.float64), "float64", threads)
    before, seconds = memory.resident(), []
    while sum(seconds) < least:
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
        if len(seconds) == 1:
            size = memory.peak() - before
    median = statistics.median(seconds[1:] or seconds)
    return {"images": images, "threads": threads, "bytes": size, "seconds": median}


def measure(threads, images=IMAGES, say=lambda text: None):
    """Return the results of `child`, each from a fresh process.

    Raises
    ------
    RuntimeError
        If a process fails; the message has the end of its output.
    """
    found = []
    for n in images:
        command = [sys.executable, str(Path(__file__).resolve()), str(n), str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise RuntimeError(f"{n} images: process ended with status {done.returncode}: {last}")
        found.append(json.loads(done.stdout))
        say(f"lenet, {n} images, {threads} threads: {found[-1]['seconds']:.3g} s")
    return found


def main():
    """Measure in the fresh process; print a JSON object."""
    parser = argparse.ArgumentParser(description="Cost of one gradient, in this process.")
    parser.add_argument("images", type=int)
    parser.add_argument("threads", type=int)
    given = parser.parse_args()
    print(json.dumps(child(given.images, given.threads)))


if __name__ == "__main__":
    main()
