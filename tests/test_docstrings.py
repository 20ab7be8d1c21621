"""Every example in a public docstring runs, and every public name has a docstring."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import matconv

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(matconv.__path__, "matconv.")
    if not info.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    names = [key for key, value in vars(module).items() if not key.startswith("_")]
    for key in names:
        value = getattr(module, key)
        if getattr(value, "__module__", None) != name or not (
            inspect.isclass(value) or callable(value)
        ):
            continue
        for test in finder.find(value, f"{name}.{key}", module=module):
            runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_examples_are_found():
    """The public functions of the kernels all have one."""
    finder = doctest.DocTestFinder()
    for name in matconv.kernels.__all__:
        function = getattr(matconv.kernels, name)
        examples = [e for test in finder.find(function, name, module=False) for e in test.examples]
        assert examples, name


@pytest.mark.parametrize("name", matconv.__all__)
def test_public_names_have_docstrings(name):
    assert (inspect.getdoc(getattr(matconv, name)) or "").strip()


def test_importing_changes_nothing(tmp_path):
    """No thread counts, floating-point mode, signal handlers, warning filters, environment, random state."""
    import subprocess
    import sys

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
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "unchanged\n", "")


def test_version_is_the_installed_one():
    from importlib.metadata import version

    assert matconv.__version__ == version("matconv")
    assert np.__version__.split(".")[0] >= "2"
