"""What it costs to begin: the time of ``import matconv``, the wheel's size, the time of a build."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import timing

NAMES = ("import", "wheel", "build")
BARE, OURS = "import numpy, scipy.linalg", "import numpy, scipy.linalg, matconv"
TOP = Path(__file__).resolve().parents[1]


def seconds(*command, env=None):
    """The time of a process of Python, which must succeed."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, env=env)
    return time.perf_counter() - start


def imports(turns):
    """The seconds of ``import matconv`` in fresh processes, after one that compiles its files."""
    with tempfile.TemporaryDirectory() as folder:  # of compiled files, whatever the environment
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = folder
        run = functools.partial(seconds, "-P", "-c", env=env)  # -P: nothing from this folder
        bare, ours = zip(*([run(x) for x in (BARE, OURS)] for _ in range(turns + 1)), strict=True)
    return [b - a for a, b in zip(bare[1:], ours[1:], strict=True)]


@functools.cache
def built():
    """Bytes of a wheel of this tree, and the seconds of building it from source in a copy."""
    with tempfile.TemporaryDirectory() as folder:
        left_out = shutil.ignore_patterns(".*", "build", "*.so", "*.pyd", "*.c", "__pycache__")
        copy = shutil.copytree(TOP, f"{folder}/source", ignore=left_out)
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
        build = seconds("-m", "pip", "wheel", *options, copy)
        (wheel,) = Path(folder).glob("*.whl")
        return {"wheel": wheel.stat().st_size, "build": build}


def measure(job, effort):
    """Part of a record without a peer: seconds, or bytes."""
    name = job["name"]
    samples = imports(effort.repeats) if name == "import" else [built()[name]]
    unit = "bytes" if name == "wheel" else "s"
    return {"sizes": "", "unit": unit, "mine": timing.spread(samples)}
