"""Small files for the command line, and the command line as its users start it."""

import contextlib
import gzip
import os
import signal
import subprocess
import sys

import numpy as np

from matconv.cli import main
from matconv.commands.interrupts import SIGNALS

COMMAND = (sys.executable, "-m", "matconv")

TOML = """\
[[layers]]
kind = "Conv"
channels = 3
kernel = 2
activation = "relu"

[[layers]]
kind = "Dense"
units = 3
"""


def environment(**more):
    """What a newcomer's shell hands down, and more."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    kept.pop("PYTHONUNBUFFERED", None)
    return {**kept, "LANG": "C.UTF-8", "COLUMNS": "100", **more}


def start(*arguments, cwd, **more):
    """The command line as a process of its own, with no signal ignored."""
    with child_signals(signal.SIG_DFL):
        return start_as_it_is(*arguments, cwd=cwd, **more)


def start_as_it_is(*arguments, cwd, **more):
    """The command line as a process of its own, in which the signals ignored here are ignored."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), **more}
    return subprocess.Popen([*COMMAND, *arguments], cwd=cwd, **options)


@contextlib.contextmanager
def child_signals(handler):
    """What the signals that end a training do in a process started within: ignored or not.

    A child inherits that a signal is ignored, as Ctrl-C is by what a shell runs in the background.
    """
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def run(*arguments, cwd, **more):
    """(exit status, standard output, standard error) of the command line."""
    with start(*arguments, cwd=cwd, **more) as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, out.decode(), err.decode()


def images(l=60, shape=(4, 4, 1), classes=3, seed=0, dtype=np.uint8):
    """Images whose class is where they are bright, and their labels."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, l)
    Z = random.integers(0, 60, (l, *shape))
    for k, label in enumerate(y):
        Z[k, label] += 150
    return Z.astype(dtype), y


def write_idx(path, array):
    """An IDX file of uint8, compressed if its name says so."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "wb") as file:
        file.write(header + array.astype(np.uint8).tobytes())


def write_small(directory, l=60, name="small.npz", **more):
    """small.npz and small.toml, the data and the network of most tests."""
    Z, y = images(l, **more)
    np.savez(directory / name, Z=Z, y=y)
    (directory / "small.toml").write_text(TOML)
    return Z, y


SMALL = ("train", "--data", "small.npz", "--network", "small.toml", "--iterations", "4")


def complaint(capsys, *arguments, status):
    """The one line on standard error of a command that fails and prints nothing else."""
    capsys.readouterr()
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("matconv: error: ") and err.count("\n") == 1 and err.endswith("\n")
    return err.removeprefix("matconv: error: ").rstrip("\n")
