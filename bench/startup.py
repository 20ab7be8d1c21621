"""What it costs to begin: the time of ``import matconv``, the wheel's size, the time of a build."""

import functools
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import timing

NAMES = ("import", "wheel", "build")
BARE = "import numpy, scipy.linalg"
TOP = Path(__file__).resolve().parents[1]


def process(code):
    """Seconds of a fresh interpreter that runs the code; it imports nothing from this folder."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
    return time.perf_counter() - start


def import_seconds(repeats):
    """Differences in seconds of processes, in turns, that import matconv and that do not."""
    ours = BARE + ", matconv"
    for code in (BARE, ours):
        process(code)  # files into the system's cache
    differences = []
    for _ in range(repeats):
        bare = process(BARE)
        differences.append(process(ours) - bare)
    return differences


@functools.cache
def built():
    """Bytes of a wheel of this tree, and the seconds of building it from source in a copy."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "source")
        left_out = shutil.ignore_patterns(".*", "build", "*.so", "*.pyd", "*.c", "__pycache__")
        shutil.copytree(TOP, copy, ignore=left_out)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command += ["--no-build-isolation", "--wheel-dir", folder, str(copy)]
        start = time.perf_counter()
        done = subprocess.run(command, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"pip wheel ended with status {done.returncode}")
        (wheel,) = Path(folder).glob("*.whl")
        return {"wheel": wheel.stat().st_size, "build": seconds}


def measure(job, effort):
    """Part of a record without a peer: seconds, or bytes."""
    name = job["name"]
    samples = import_seconds(effort.repeats) if name == "import" else [built()[name]]
    unit = "bytes" if name == "wheel" else "s"
    return {"sizes": "", "unit": unit, "mine": timing.spread(samples)}
