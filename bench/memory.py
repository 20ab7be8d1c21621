"""What one gradient of a network costs in a fresh process: peak memory, and how it grows.

The process imports its library, makes the images, the labels and the parameters, notes how much
memory is resident, then computes f and its gradient.  The result is the highest resident memory
from there on, less what was resident before: activations, scratch, the gradient and whatever the
library sets up at its first call.  PyTorch is measured as one writes it, the loss of all images at
once and then ``backward()``; and, as its users know that this takes memory, also adding the gradients
of 256 images at a time ("torch-256").
"""

import functools
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import nets
import numpy as np
import peers
import timing

PEERS = ("torch", "torch-256")

#: f and |gradient| of two sides agree to this share.
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

    On Linux, ru_maxrss of getrusage starts from what the parent process held when it started this
    one; the kernel's VmHWM counts this process alone.
    """
    scale = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def resident():
    """Resident memory of this process now, in bytes; its peak where only that is known."""
    return _status("VmRSS") or peak()


def _matconv(net, Z, y, dtype, threads):
    """A function that gives f and |gradient|, all that it needs made before."""
    import peers_matconv

    import matconv

    network, theta = peers_matconv.network(net, nets.parameters(net), dtype)
    objective = matconv.Objective(network, Z, y, loss=net.loss, n_threads=threads)

    def work():
        f, gradient = objective.value_and_gradient(theta)
        return float(f), float(np.linalg.norm(gradient.astype(np.float64)))

    return work


def _torch(net, Z, y, dtype, threads, at_once=None):
    import peers_torch

    torch = peers_torch.require()
    torch.set_num_threads(threads)
    model, loss = peers_torch.model(net, nets.parameters(net), dtype), peers_torch.loss_of(net)
    # with one channel, (l, b, a, 1) and (l, 1, b, a) are the same memory: nothing is copied
    images, labels = torch.from_numpy(Z).permute(0, 3, 1, 2), torch.from_numpy(y)
    l = len(y)

    def work():
        model.zero_grad()
        f = 0.0
        for part in torch.arange(l).split(at_once or l):
            first, last = int(part[0]), int(part[-1]) + 1
            value = loss(model(images[first:last]), labels[first:last]) * ((last - first) / l)
            value.backward()
            f += value.item()
        squares = sum(float((p.grad.double() ** 2).sum()) for p in model.parameters())
        return f, squares**0.5

    return work


SIDES = {
    "matconv": _matconv,
    "torch": _torch,
    "torch-256": functools.partial(_torch, at_once=256),
}


def child(side, name, dtype, threads, images, least):
    """Measure here and now: peak memory of the first gradient, seconds of each.

    Calls are repeated until they took `least` seconds.
    """
    net = nets.NETS[name]
    work = SIDES[side](net, *nets.data(net, images, dtype), dtype, threads)
    before, seconds = resident(), []
    while not seconds or sum(seconds) < least:
        start = time.perf_counter()
        f, norm = work()
        seconds.append(time.perf_counter() - start)
        if len(seconds) == 1:
            size = peak() - before
    return {"bytes": size, "seconds": seconds, "f": f, "norm": norm}


def fresh(side, name, dtype, threads, images, least=0.0):
    """What `child` gives, from a fresh process.

    Raises
    ------
    peers.Missing
        The library is not installed.
    RuntimeError
        The process fails; the last line of its output is in the message.
    """
    arguments = json.dumps([side, name, dtype, threads, images, least])
    command = [sys.executable, str(Path(__file__).resolve()), arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout)
    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    kind, _, reason = last.partition(": ")
    if kind.endswith("Missing"):
        raise peers.Missing(reason)
    raise RuntimeError(f"{side}: process ended with status {done.returncode}: {last}")


def gradient(job, how):
    """Numbers of a record: peak memory of matconv and of the peer, which compute the same."""
    key = (job["name"], job["dtype"], job["threads"], job["images"])
    mine, other = (fresh(side, *key) for side in ("matconv", job["peer"]))
    differences = []
    for which in ("f", "norm"):
        differences.append(abs(other[which] - mine[which]) / abs(mine[which]))
        if not differences[-1] <= AGREEMENT[job["dtype"]]:
            raise ArithmeticError(
                f"{which} of {job['peer']} is {other[which]!r}, of matconv {mine[which]!r}: "
                "not the same gradient"
            )
    found = timing.compared([mine["bytes"]], [other["bytes"]])
    sizes = str(job["images"])
    return {"sizes": sizes, "unit": "bytes", **found, "difference": [0.0, max(differences)]}


def scaling(job, how):
    """Numbers of a record without a peer: seconds of a gradient, and its peak memory."""
    key = (job["name"], job["dtype"], job["threads"], job["images"])
    found = fresh("matconv", *key, least=0.1 if how.quick else 1.0)
    seconds = found["seconds"][1:] or found["seconds"]  # the first one sets up
    sizes = str(job["images"])
    return {"sizes": sizes, "unit": "s", "mine": timing.spread(seconds), "bytes": found["bytes"]}


if __name__ == "__main__":
    print(json.dumps(child(*json.loads(sys.argv[1]))))
