"""What one gradient of a network costs in a fresh process: peak memory, and how it grows.

The process imports its library, makes the images, the labels and the parameters, notes its resident
memory, then computes f and its gradient.  The result is the maximum of the resident memory from
there on, less what was resident before: activations, scratch, the gradient and whatever the library
sets up at its first call.  Linux only.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import nets
import peers
import timing


def status(field):
    """A line of /proc/self/status in bytes: VmHWM is the peak of resident memory, VmRSS it now."""
    # not ru_maxrss of getrusage: it starts from what the parent process held
    text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return 1024 * int(text.partition(f"{field}:")[2].split()[0])


def _matconv(net, Z, y, dtype, threads):
    """A function that gives f and |gradient|, all that it needs made before."""
    import peers_matconv

    import matconv

    network, theta = peers_matconv.network(net, nets.parameters(net), dtype)
    objective = matconv.Objective(network, Z, y, loss=net.loss, n_threads=threads)

    def work():
        f, gradient = objective.value_and_gradient(theta)
        return float(f), peers.norm([gradient])

    return work


def _torch(net, Z, y, dtype, threads):
    import peers_torch
    import torch

    torch.set_num_threads(threads)
    model, loss = peers_torch.model(net, nets.parameters(net), dtype), peers_torch.loss_of(net)
    # with one channel, (l, b, a, 1) and (l, 1, b, a) are the same memory: nothing is copied
    images, labels = torch.from_numpy(Z).permute(0, 3, 1, 2), torch.from_numpy(y)

    def work():
        model.zero_grad()
        f = loss(model(images), labels)
        f.backward()
        return f.item(), peers.norm(p.grad for p in model.parameters())

    return work


SIDES = {"matconv": _matconv, "torch": _torch}


def child(side, name, dtype, threads, images, seconds):
    """Peak memory of the first gradient here, and the time of each until they took `seconds`."""
    net = nets.NETS[name]
    work = SIDES[side](net, *nets.data(net, images, dtype), dtype, threads)
    before, times = status("VmRSS"), []
    while not times or sum(times) < seconds:
        start = time.perf_counter()
        f, norm = work()
        times.append(time.perf_counter() - start)
        if len(times) == 1:
            size = status("VmHWM") - before
    return {"bytes": size, "seconds": times, "f": f, "norm": norm}


def fresh(side, job, seconds=0.0):
    """The result of `child` in a fresh process; RuntimeError with its last line if it fails."""
    key = [job[name] for name in ("name", "dtype", "threads", "images")]
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps([side, *key, seconds])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout)
    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    raise RuntimeError(f"{side}: process ended with status {done.returncode}: {last}")


def gradient(job, effort):
    """Part of a record: peak memory of matconv and of the peer, which compute the same."""
    mine, other = (fresh(side, job) for side in ("matconv", job["peer"]))
    results = {key: other[key] for key in ("f", "norm")}
    difference = nets.agree(mine, results, job["dtype"], f"{job['peer']}, {job['name']}")
    found = timing.compared([mine["bytes"]], [other["bytes"]])
    about = {"sizes": str(job["images"]), "unit": "bytes"}
    return {**about, **found, "difference": [0.0, difference]}


def scaling(job, effort):
    """Part of a record without a peer: seconds of a gradient, and its peak memory."""
    found = fresh("matconv", job, 0.1 if effort.quick else 1.0)
    times = found["seconds"][1:] or found["seconds"]  # the first one sets up
    sizes = str(job["images"])
    return {"sizes": sizes, "unit": "s", "mine": timing.spread(times), "bytes": found["bytes"]}


if __name__ == "__main__":
    print(json.dumps(child(*json.loads(sys.argv[1]))))
