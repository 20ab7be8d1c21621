"""The installed package: version, stubs, public names."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import matconv

PACKAGE = Path(matconv.__file__).parent


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_version_is_the_installed_one():
    assert matconv.__version__ == version("matconv")


def test_compiled_modules_have_stubs():
    modules = {path.name.split(".")[0] for path in (PACKAGE / "kernels").glob("*.so")}
    stubs = {path.stem for path in (PACKAGE / "kernels").glob("*.pyi")}
    # of those that begin with an underscore only the ones that Python imports need a stub
    public = {name for name in modules if not name.startswith("_")}
    assert public and public <= stubs <= modules
    variants = {path.name.split(".")[0] for path in (PACKAGE / "kernels").glob("*/*.so")}
    assert variants <= modules
    assert (PACKAGE / "py.typed").is_file()


def test_importing_changes_nothing(tmp_path):
    """Not threads, floating point, signals, warnings, environment, nor random numbers."""
    program = """
import os, random, signal, sys, warnings
import numpy as np, scipy.linalg, threadpoolctl
from scipy.linalg import cython_blas

def state():
    return (
        sorted((i["filepath"], i["num_threads"]) for i in threadpoolctl.threadpool_info()),
        np.geterr(), [signal.getsignal(s) for s in signal.valid_signals()],
        list(warnings.filters), dict(os.environ), random.getstate(),
        np.random.get_state()[1].tobytes(), sys.getrecursionlimit(), os.getcwd(),
    )

before = state()
import matconv
after = state()
assert before == after, [k for k, (x, y) in enumerate(zip(before, after)) if x != y]
print("unchanged")
"""
    result = run("-c", program, cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "unchanged\n", "")


def test_package_public_names_exist_and_others_raise():
    assert set(matconv.__all__) <= set(dir(matconv))
    for name in matconv.__all__:
        assert callable(getattr(matconv, name)), name
    with pytest.raises(AttributeError, match="module 'matconv' has no attribute 'no_such_name'"):
        _ = matconv.no_such_name
    assert np.dtype(np.float64) == matconv.Network((1, 1, 1), [matconv.Dense(1)]).dtype
