"""Time of ``import matconv`` and size of the wheel."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = "import numpy, scipy.linalg"
OURS = BARE + ", matconv"


def _process(code):
    """Return the seconds of a fresh interpreter that runs code."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
    return time.perf_counter() - start


def import_seconds(repeats=15):
    """Return the median difference between processes, in turns, with and without matconv."""
    for code in (BARE, OURS):
        _process(code)  # files into the system's cache
    differences = []
    for _ in range(repeats):
        bare = _process(BARE)
        differences.append(_process(OURS) - bare)
    return statistics.median(differences)


def wheel_bytes(path=None):
    """Return the size of a wheel, of a given file or built from this tree."""
    if path is not None:
        if path.suffix != ".whl" or not path.is_file():
            raise ValueError(f"not a wheel: {path}")
        return path.stat().st_size
    top = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        done = subprocess.run([*command, "--wheel-dir", folder, str(top)], check=False)
        if done.returncode:
            raise RuntimeError(f"pip wheel ended with status {done.returncode}")
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.stat().st_size
