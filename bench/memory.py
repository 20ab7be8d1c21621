"""Peak memory of one gradient of a network on many images, each library in a fresh process.

    python bench/run.py gradient

Each process imports its library, makes the images, the labels and the parameters, notes how much
memory is resident, then computes f and its gradient once.  What is reported is the highest
resident memory from there on, less what was resident before: activations, scratch, the gradient
and whatever the library sets up at its first call.  PyTorch is measured as one writes it: the loss
of all images at once, then ``backward()``; and, since its users know that this takes memory, also
accumulating the gradient over 256 images at a time.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

import nets
import numpy as np
import shapes

#: Who can be measured, in the order of the table; the first is what the others are compared with.
WHO = ("matconv", "torch", "torch-256")

#: f and |gradient| of two sides agree to this share; sums of 10,000 terms in different orders.
AGREEMENT = {"float64": 1e-10, "float32": 1e-3}


def _status(field):
    """A line of /proc/self/status in bytes, or None without that file."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith(field + ":"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    return None


def peak():
    """The highest resident memory of this process so far, in bytes.

    getrusage's ru_maxrss starts, on Linux, from what the parent process held when it started this
    one; the kernel's VmHWM counts this process alone and is preferred where it exists.
    """
    own = _status("VmHWM")
    if own is not None:
        return own
    scale = 1 if sys.platform == "darwin" else 1024
    return scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def resident():
    """Resident memory of this process now, in bytes; its peak where that is all that is known."""
    now = _status("VmRSS")
    return peak() if now is None else now


def matconv_gradient(net, Z, y, dtype, threads):
    """A function that gives f and |gradient|, everything it needs made before."""
    import matconv

    network = nets.for_matconv(net, dtype)
    theta = network.pack([(W.astype(dtype), b.astype(dtype)) for W, b in nets.parameters(net)])
    objective = matconv.Objective(network, Z, y, loss="softmax", n_threads=threads)

    def work():
        f, gradient = objective.value_and_gradient(theta)
        return float(f), float(np.linalg.norm(gradient))

    return work


def _torch(net, Z, y, dtype, threads, at_once=None):
    import torch

    torch.set_num_threads(threads)
    model = nets.for_torch(net, nets.parameters(net), dtype)
    # With one channel, (l, b, a, 1) and (l, 1, b, a) are the same memory: nothing is copied.
    images, labels = torch.from_numpy(Z).permute(0, 3, 1, 2), torch.from_numpy(y)
    at_once = len(y) if at_once is None else at_once

    def work():
        model.zero_grad()
        f = 0.0
        for i in range(0, len(y), at_once):
            outputs = model(images[i : i + at_once])
            loss = torch.nn.functional.cross_entropy(
                outputs, labels[i : i + at_once], reduction="sum"
            )
            loss = loss / len(y)
            loss.backward()
            f += loss.item()
        squares = sum(float((p.grad.double() ** 2).sum()) for p in model.parameters())
        return f, squares**0.5

    return work


def child(who, net, dtype, threads, images):
    """Measure here and now; meant for a process that has done nothing else."""
    Z, y = nets.data(net, images, dtype)
    if who == "matconv":
        work = matconv_gradient(net, Z, y, dtype, threads)
    else:
        work = _torch(net, Z, y, dtype, threads, 256 if who == "torch-256" else None)
    before = resident()
    start = time.perf_counter()
    f, norm = work()
    seconds = time.perf_counter() - start
    highest = peak()
    return {
        "who": who,
        "bytes": highest - before,
        "before": before,
        "peak": highest,
        "seconds": seconds,
        "f": f,
        "norm": norm,
    }


def measure(net="lenet", dtype="float64", threads=2, images=10_000, who=WHO):
    """One fresh process for each of `who`; a list of what `child` gives, in order.

    A library that cannot be imported gives ``{"who": name, "missing": text}``.

    Raises
    ------
    ArithmeticError
        If f or the gradient's norm differ between the libraries.
    RuntimeError
        If a process fails for another reason; its last words are in the message.
    """
    found = []
    for name in who:
        command = [sys.executable, str(Path(__file__).resolve()), name, "--net", net]
        command += ["--dtype", dtype, "--threads", str(threads), "--images", str(images)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            if last.startswith("ModuleNotFoundError"):
                found.append({"who": name, "missing": last.split(": ", 1)[1]})
                continue
            raise RuntimeError(f"{name}: process ended with status {done.returncode}: {last}")
        found.append(json.loads(done.stdout))
    compare([one for one in found if "missing" not in one], AGREEMENT[dtype])
    return found


def compare(found, share):
    """Raise ArithmeticError unless all f and all norms agree to `share` of the first one's."""
    for one in found[1:]:
        for key in ("f", "norm"):
            if not abs(one[key] - found[0][key]) <= share * abs(found[0][key]):
                raise ArithmeticError(
                    f"{key} of {one['who']} is {one[key]!r}, of {found[0]['who']} "
                    f"{found[0][key]!r}: not the same gradient"
                )


def rows(found):
    """Rows of the table: who, MiB, matconv's memory as a share of it, seconds of that one call."""
    mine = {one["who"]: one.get("bytes", math.nan) for one in found}.get("matconv", math.nan)
    table = [("", "peak MiB", "matconv's share", "seconds")]
    for one in found:
        if "missing" not in one:
            mib, share = one["bytes"] / 2**20, mine / one["bytes"]
            table.append((one["who"], f"{mib:.1f}", f"{share:.3f}", f"{one['seconds']:.2f}"))
    return table


def main(arguments=None):
    """The fresh process: print one JSON object."""
    parser = argparse.ArgumentParser(description="Peak memory of one gradient, in this process.")
    parser.add_argument("who", choices=WHO)
    parser.add_argument("--net", default="lenet", choices=sorted(shapes.NETS))
    parser.add_argument("--dtype", default="float64", choices=["float64", "float32"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=10_000)
    given = parser.parse_args(arguments)
    net = shapes.NETS[given.net]
    print(json.dumps(child(given.who, net, given.dtype, given.threads, given.images)))


if __name__ == "__main__":
    main()
