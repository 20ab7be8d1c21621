"""Peak memory of one gradient of a network on many images, each library in a fresh process.

    python bench/run.py gradient

Each process imports its library, makes the images, the labels and the parameters, reads its
resident memory, then computes f and its gradient once.  The result is the peak of the resident
memory minus the memory before: activations, scratch, the gradient and what the library allocates
at its first call.  PyTorch is measured in two ways: with the loss of all images at once and
``backward()``, and, because this takes much memory, with the gradient accumulated over 256 images
at a time.
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

#: What can be measured, in the order of the table; the others are compared with the first.
WHO = ("matconv", "torch", "torch-256")

#: Relative difference of f and |gradient| of two sides, sums of 10,000 terms in other orders.
AGREEMENT = {"float64": 1e-10, "float32": 1e-3}


def _status(field):
    """Return a value of /proc/self/status in bytes, or None without that file."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith(field + ":"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    return None


def peak():
    """Return the peak of this process's resident memory in bytes.

    On Linux the ru_maxrss of getrusage begins with the memory of the parent process at the fork.
    VmHWM of the kernel is that of this process alone and is used if it exists.
    """
    own = _status("VmHWM")
    if own is not None:
        return own
    scale = 1 if sys.platform == "darwin" else 1024
    return scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def resident():
    """Return this process's resident memory in bytes; the peak if it is not known."""
    now = _status("VmRSS")
    return peak() if now is None else now


def matconv_gradient(net, Z, y, dtype, threads):
    """Return a function that computes f and |gradient|, with all its operands made."""
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
    """Measure in this process, which should be a fresh one."""
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
    """Return the results of `child` in a fresh process for each of `who`, in order.

    A library that cannot be imported gives ``{"who": name, "missing": text}``.

    Raises
    ------
    ArithmeticError
        If f or the gradient's norm differ between the libraries.
    RuntimeError
        If a process fails for another reason; the message has the end of its output.
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
    """Raise ArithmeticError unless all f and norms differ by at most `share` of the first."""
    for one in found[1:]:
        for key in ("f", "norm"):
            if not abs(one[key] - found[0][key]) <= share * abs(found[0][key]):
                raise ArithmeticError(
                    f"{key} of {one['who']} is {one[key]!r}, of {found[0]['who']} "
                    f"{found[0][key]!r}: not the same gradient"
                )


def rows(found):
    """Return the rows of the table: name, MiB, matconv's part of it, seconds of the call."""
    mine = {one["who"]: one.get("bytes", math.nan) for one in found}.get("matconv", math.nan)
    table = [("", "peak MiB", "matconv's share", "seconds")]
    for one in found:
        if "missing" not in one:
            mib, share = one["bytes"] / 2**20, mine / one["bytes"]
            table.append((one["who"], f"{mib:.1f}", f"{share:.3f}", f"{one['seconds']:.2f}"))
    return table


def main(arguments=None):
    """Measure in the fresh process; print a JSON object."""
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
