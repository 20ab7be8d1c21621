"""Small files for the command line, and processes that run it."""

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
    """Return the environment of a plain shell, with more variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    kept.pop("PYTHONUNBUFFERED", None)
    return {**kept, "LANG": "C.UTF-8", "COLUMNS": "100", **more}


def start(*arguments, cwd, **more):
    """Start the command line as a process in which no signal is ignored."""
    with child_signals(signal.SIG_DFL):
        return start_as_it_is(*arguments, cwd=cwd, **more)


def start_as_it_is(*arguments, cwd, **more):
    """Start the command line as a process that inherits which signals are ignored."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), **more}
    return subprocess.Popen([*COMMAND, *arguments], cwd=cwd, **options)


@contextlib.contextmanager
def child_signals(handler):
    """Set the handlers of the signals that end a training, for processes started in the block.

    A child process inherits ignored signals, as Ctrl-C in a background job of a shell.
    """
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def run(*arguments, cwd, **more):
    """Run the command line; return (exit status, standard output, standard error)."""
    with start(*arguments, cwd=cwd, **more) as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, out.decode(), err.decode()


def images(l=60, shape=(4, 4, 1), classes=3, seed=0, dtype=np.uint8):
    """Return images with a bright row for their class, and labels."""
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


def write_pair(directory, images_name, labels_name, part):
    """Write images without channels and their labels as two IDX files."""
    Z, y = part
    write_idx(directory / images_name, Z[..., 0])
    write_idx(directory / labels_name, y)


def same_images(found, part):
    """Check that images that were read are (Z, y)."""
    np.testing.assert_array_equal(found.pixels, part[0], strict=True)
    np.testing.assert_array_equal(found.y, part[1])


def write_small(directory, l=60, name="small.npz", **more):
    """Write small.npz and small.toml, the data and the network of most tests."""
    Z, y = images(l, **more)
    np.savez(directory / name, Z=Z, y=y)
    (directory / "small.toml").write_text(TOML)
    return Z, y


SMALL = ("train", "--data", "small.npz", "--network", "small.toml", "--iterations", "4")


def complaint(capsys, *arguments, status):
    """Run a command that fails; return its error, which must be its only output."""
    capsys.readouterr()
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("matconv: error: ") and err.count("\n") == 1 and err.endswith("\n")
    return err.removeprefix("matconv: error: ").rstrip("\n")
