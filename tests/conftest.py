"""Fixtures, the option --algorithm, and a summary of the tests of bad input by catalogue number.

``pytest --algorithm winograd`` uses this algorithm instead of the automatic choice, except in tests
that name one: only im2col is exact on integers and does not spread NaN.
"""

import os

import numpy as np
import pytest
from support import TESTS
from support.cli_runs import SMALL, write_small

import matconv
from matconv.cli import main
from matconv.io import read_npz

# scripts that tests start import the same helpers
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))


def pytest_addoption(parser):
    parser.addoption("--algorithm", choices=("im2col", "winograd"), help="for all convolutions")


def pytest_configure(config):
    algorithm = config.getoption("--algorithm")
    if algorithm is None:
        return

    def by(function):
        def call(*arguments, **options):
            return function(*arguments, **{"algorithm": algorithm, **options})

        call.__doc__ = function.__doc__
        return call

    matconv.conv2d, matconv.conv2d_backward = by(matconv.conv2d), by(matconv.conv2d_backward)
    matconv.Network.__init__.__defaults__ = (np.float64, algorithm, None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Working directory with small.npz, small.toml and the model m.npz."""
    write_small(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "--quiet", "--output", "m.npz"]) == 0
    return tmp_path


@pytest.fixture
def read_member(tmp_path):
    """Function that reads the array A of an .npz archive given as bytes."""

    def read(content, **options):
        path = tmp_path / "bad.npz"
        path.write_bytes(content)
        return read_npz(path, ["A"], **options)["A"]

    return read


_passed: dict[int, int] = {}
_run: dict[int, int] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        for mark in item.iter_markers("catalogue"):
            for number in mark.args:
                _run[number] = _run.get(number, 0) + 1
                _passed[number] = _passed.get(number, 0) + report.passed
    return report


def pytest_terminal_summary(terminalreporter):
    if not _run:
        return
    numbers = sorted(_run)
    whole = [number for number in numbers if _passed[number] == _run[number]]
    terminalreporter.write_sep("-", "catalogue of bad input")
    terminalreporter.write_line(
        f"cases {_ranges(numbers)}: {len(numbers)} run, {len(whole)} passed "
        f"({sum(_run.values())} tests, {sum(_passed.values())} passed)"
    )


def _ranges(numbers):
    """Return "1-3, 7" for 1, 2, 3, 7."""
    runs = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in runs)
