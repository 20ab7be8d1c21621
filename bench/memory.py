"""What one gradient of a network costs in a fresh process: peak memory, and how it grows.

The process makes its side of a network, notes its resident memory, then computes f and its
gradient, or a product at one theta again and again.  The result is the maximum of the resident memory less what was resident before:
activations, scratch, the gradient and whatever the library sets up at its first call.  Linux only.
"""

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nets
import peers
import timing


def status(field):
    """A line of /proc/self/status in bytes: VmHWM is the peak of resident memory, VmRSS it now."""
    # not ru_maxrss of getrusage: it starts from what the parent process held
    text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return 1024 * int(text.partition(f"{field}:")[2].split()[0])


def child(library, name, dtype, threads, images, seconds, which="gradient"):
    """Peak memory of the first gradient here, and the time of each until they took `seconds`."""
    net, theta = nets.NETS[name], nets.parameters(nets.NETS[name].network)
    case = SimpleNamespace(net=net, data=nets.data(net, images, dtype), theta=theta)
    del theta
    module = importlib.import_module(library)
    side = module.net(case, dtype, threads, module.FORMS[0])
    del case  # a side has its own images
    with side.context():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM is VmRSS again
        before, times = status("VmRSS"), []
        while not times or sum(times) < seconds:
            start = time.perf_counter()
            f, slopes = side.passes[which]()
            times.append(time.perf_counter() - start)
            if len(times) == 1:
                size = status("VmHWM") - before
    return {"bytes": size, "seconds": times, "f": float(f), "norm": peers.norm(slopes)}


def fresh(side, job, seconds=0.0, which="gradient", module="peers"):
    """The result of `child` in a fresh process; RuntimeError with its last line if it fails."""
    key = [job[name] for name in ("name", "dtype", "threads", "images")]
    call = json.dumps([f"{module}_{side}", *key, seconds, which])
    command = [sys.executable, str(Path(__file__).resolve()), call]
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
    mine = timing.spread(found["seconds"][1:] or found["seconds"])  # the first one sets up
    return {"sizes": str(job["images"]), "unit": "s", "mine": mine, "bytes": found["bytes"]}


def budgets(job, effort):
    """Part of a record without a peer: seconds of a product within a budget, and its peak memory.

    The peak is that of the first product, which computes what is kept; its time does not count.
    """
    found = fresh("matconv", job, 0.1 if effort.quick else 3.0, job["pass"], "products")
    mine = timing.spread(found["seconds"][1:] or found["seconds"])
    return {"sizes": str(job["images"]), "unit": "s", "mine": mine, "bytes": found["bytes"]}


if __name__ == "__main__":
    print(json.dumps(child(*json.loads(sys.argv[1]))))
