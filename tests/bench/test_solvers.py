"""The script that compares solvers runs each of them; no result decides."""

import importlib.util
import sys
from pathlib import Path

import pytest

from matconv.solvers import METHODS

SCRIPT = Path(__file__).parents[2] / "bench" / "solvers.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("bench_solvers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_solvers_script_runs_every_method(script, capsys, monkeypatch):
    names = ["newton:0.01", "lbfgs", "sgd:0.01", "trust-ncg", "trust-constr", "Newton-CG:H"]
    monkeypatch.setattr(sys, "argv", ["solvers.py", "digits", "--seconds", "0", *names])
    script.main()
    head, titles, *lines = capsys.readouterr().out.splitlines()
    assert head == "1438 training images, 359 test images, n = 1898, C = 1000"
    assert [line.split()[:2] for line in lines] == [[name, "1"] for name in names]
    assert {len(line) for line in lines} == {len(lines[0])} and titles.startswith("run ")


def test_solvers_script_counts_passes(script):
    f, test, theta0 = script.objectives("digits", 0, 0, 100.0)
    (row,) = script.run("lbfgs", f, test, theta0, 0.0)
    assert row[1] == 2  # gradients at theta0 and after the first step
    (row,) = script.run("newton:0.1", f, test, theta0, 0.0)
    products = round((row[1] - 2) / 0.1, 9)
    assert products == int(products) >= 1
    assert row[2] < f(theta0) and 0 <= row[3] <= 1


def test_solvers_script_has_methods_that_exist(script, capsys, monkeypatch):
    assert {method for method, _ in script.RUNS.values()} < METHODS.keys()
    for method, options in script.RUNS.values():
        METHODS[method].check(options)
    monkeypatch.setattr(sys, "argv", ["solvers.py", "--list"])
    script.main()
    assert capsys.readouterr().out.split() == [*script.RUNS]
