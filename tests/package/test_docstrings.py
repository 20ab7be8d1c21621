"""Every example in a public docstring runs, and every public name has a docstring."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import matconv

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(matconv.__path__, "matconv.")
    if ".__" not in info.name
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name):
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


def test_docstring_examples_are_found():
    """The public functions of the kernels all have one."""
    finder = doctest.DocTestFinder()
    for name in matconv.kernels.__all__:
        function = getattr(matconv.kernels, name)
        examples = [e for test in finder.find(function, name, module=False) for e in test.examples]
        assert examples, name


@pytest.mark.parametrize("name", matconv.__all__)
def test_public_names_have_docstrings(name):
    assert (inspect.getdoc(getattr(matconv, name)) or "").strip()
