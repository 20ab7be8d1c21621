"""Fixtures, the option --algorithm, and a summary of the tests of bad input by catalogue number.

Tests that use the fixture `algorithm`, directly or through `mixed`, `lenet`, `small` or `refused`,
compute their convolutions by the algorithm that ``pytest --algorithm`` names. Other tests ignore the
option: they name an algorithm themselves, or keep the automatic choice.
"""

import os
import signal
from functools import partial

import pytest
from support import TESTS, minimizing, networks
from support.cli_runs import SMALL, write_small

from matconv.cli import main
from matconv.io import read_npz

# scripts that tests start import the same helpers
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))


def pytest_addoption(parser):
    parser.addoption(
        "--algorithm", default="auto", choices=("auto", "im2col", "winograd"),
        help="algorithm of all convolutions in tests with the fixture `algorithm`",
    )  # fmt: skip


def pytest_report_collectionfinish(config, items):
    algorithm = config.getoption("--algorithm")
    if algorithm == "auto":
        return None
    return f"algorithm {algorithm}: in {sum(map(_is_forced, items))} of {len(items)} tests"


def _is_forced(item):
    """Return whether a test uses the fixture `algorithm` and not a parameter of that name."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return "algorithm" in getattr(item, "fixturenames", ()) and "algorithm" not in parameters


@pytest.fixture(scope="session")
def algorithm(pytestconfig):
    """Argument `algorithm` of conv2d and Network: the option --algorithm, by default "auto"."""
    return pytestconfig.getoption("--algorithm")


@pytest.fixture(scope="session")
def mixed(algorithm):
    """Function `networks.mixed` with the algorithm of the option --algorithm."""
    return partial(networks.mixed, algorithm=algorithm)


@pytest.fixture(scope="session")
def lenet(algorithm):
    """Function `networks.lenet` with the algorithm of the option --algorithm."""
    return partial(networks.lenet, algorithm=algorithm)


@pytest.fixture(scope="session")
def small(algorithm):
    """Function `minimizing.small` with the algorithm of the option --algorithm."""
    return partial(minimizing.small, algorithm=algorithm)


@pytest.fixture
def interruptible():
    """Let Ctrl-C raise, although the process that started the tests may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """Empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data_folder(empty_folder):
    """Working directory with small.npz and small.toml."""
    write_small(empty_folder)
    return empty_folder


@pytest.fixture
def folder(data_folder):
    """Working directory with small.npz, small.toml and the model m.npz."""
    assert main([*SMALL, "--quiet", "--output", "m.npz"]) == 0
    return data_folder


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
