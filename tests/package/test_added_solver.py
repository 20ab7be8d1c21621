"""A solver added from outside: matconv/README.md followed word for word in a copy of the package."""

import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from support import package_readme
from support.cli_runs import SMALL, complaint
from support.minimizing import small

import matconv
from matconv import load_model, minimize, save_model
from matconv.cli import main
from matconv.solvers import METHODS

PACKAGE = Path(matconv.__file__).parent
FILE = "matconv/solvers/steepest.py"


@pytest.fixture
def added(monkeypatch):
    """The record of the solver, in the list."""
    module = types.ModuleType("matconv.solvers.steepest")
    module.__package__ = "matconv.solvers"
    code = package_readme.block(f"new file: {FILE}")
    exec(compile(code, FILE, "exec"), vars(module))  # noqa: S102
    monkeypatch.setitem(METHODS, "steepest", module.METHOD)
    return module.METHOD


STEEPEST = (*SMALL, "--solver", "steepest", "--step-size", "0.125", "--output", "m.npz")


def test_added_solver_descends(added):
    f, theta0 = small()
    result = minimize(f, theta0, "steepest", 5, step_size=0.01)
    values = [row["f"] for row in result.history]
    assert result.message == "5 iterations done" and values == sorted(values, reverse=True)
    assert values[-1] < values[0] == f(theta0)
    names = {"f": f, "theta": theta0, "minimize": minimize}
    exec(package_readme.block("solver"), names)  # noqa: S102
    assert len(names["result"].history) == 100
    np.testing.assert_array_equal(
        minimize(f, theta0, "steepest", 1).theta, theta0 - 0.1 * f.gradient(theta0)
    )


def test_added_solver_options_are_checked(added):
    f, theta0 = small()
    with pytest.raises(ValueError, match="^step_size must be above 0 and finite, got 0$"):
        minimize(f, theta0, "steepest", step_size=0)
    with pytest.raises(
        TypeError,
        match="^minimize: unexpected keyword argument 'momentum'; the options of steepest are: "
        "step_size$",
    ):
        minimize(f, theta0, "steepest", momentum=0.5)


def test_added_solver_is_in_help(added, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    assert main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--solver NAME" in said
    assert "steepest, steepest descent on f over all images" in said
    assert "--step-size SIZE" in said
    assert "with steepest: factor of the gradient. Default: 0.1" in said
    assert re.search(r"Default: 100 with lbfgs, .* or steepest; 10 with sgd\n", said)


def test_added_solver_settings_go_through_a_model_file(added, data_folder, capsys):
    assert main(STEEPEST) == 0
    assert "solver     steepest, 4 iterations, step size 0.125" in capsys.readouterr().out
    settings = load_model("m.npz").training["settings"]
    assert (settings["solver"], settings["step_size"]) == ("steepest", 0.125)
    assert main(["train", "--resume", "m.npz", "--iterations", "1", "--output", "n.npz"]) == 0
    assert "steepest, 1 iteration, step size 0.125, after 4 before" in capsys.readouterr().out
    assert load_model("n.npz").training["settings"]["step_size"] == 0.125


def test_added_solver_settings_of_a_file_are_checked(added, data_folder, capsys):
    assert main(STEEPEST) == 0
    model = load_model("m.npz")
    record = {**model.training, "settings": {**model.training["settings"], "step_size": -1}}
    save_model("strange.npz", model.network, model.theta, model.labels, None, record)
    line = complaint(capsys, "train", "--resume", "strange.npz", status=1)
    assert line.endswith("settings: step_size is -1, expected a number above 0 and finite")


def test_added_solver_options_choose_it(added, data_folder, capsys):
    assert main([*SMALL, "--step-size", "0.5"]) == 0
    assert "steepest, 4 iterations, step size 0.5" in capsys.readouterr().out
    line = complaint(capsys, *SMALL, "--solver", "sgd", "--step-size", "1", status=2)
    assert line.startswith("--step-size goes with --solver steepest (see:")


def test_added_solver_readme_word_for_word(data_folder):
    """Two lines in the list, and the file; nothing else knows the name."""
    shutil.copytree(PACKAGE, data_folder / "matconv", ignore=shutil.ignore_patterns("__pycache__"))
    lines, new = package_readme.follow(data_folder, "Adding a solver")
    assert new == [FILE] and lines.pop(FILE) > 20
    assert lines == {"matconv/solvers/minimizer.py": 2}

    def python(*words):
        environment = {**os.environ, "PYTHONPATH": str(data_folder), "COLUMNS": "200"}
        run = subprocess.run(
            [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
        )
        assert (run.returncode, run.stderr) == (0, "")
        return run.stdout

    documentation = python("-c", "import matconv; print(matconv.minimize.__doc__)")
    assert '"steepest" : steepest descent on f over all images' in documentation
    assert "step_size : float, above 0 and finite; default 0.1" in documentation
    assert "--step-size SIZE" in python("-m", "matconv", "train", "--help")
    program, *words = shlex.split(package_readme.block("solver commands"))
    assert program == "matconv"
    said = python("-m", "matconv", *words, "--iterations", "2")
    assert "steepest, 2 iterations, step size 0.01" in said
    assert load_model("digits-model.npz").training["settings"]["step_size"] == 0.01


def test_documentation_of_minimize_has_every_option():
    documentation = inspect.getdoc(minimize)
    for method in METHODS.values():
        assert f'"{method.name}" : {method.summary}' in documentation
        for option in method.options:
            assert f"\n    {option.name} : {option.values.type_name}" in documentation
