"""What the README says is true: its example runs, and the files and functions it names exist."""

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import matconv

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
EQUATIONS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in re.search(r"\| equation of the notes.*?\n\n", README, re.DOTALL)[0].splitlines()[2:]
    if line
]


def test_the_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own README
    accuracy = float(capsys.readouterr().out.splitlines()[-1])
    assert accuracy > 0.95
    assert names["gradient"].shape == (names["net"].n,) == names["theta"].shape
    assert np.shares_memory(names["W"], names["theta"])
    assert names["batch"].l == 64


def test_there_are_two_commands():
    commands = re.findall(r"<!-- command: (\w+) -->\n```sh\n(.*)\n```", README)
    assert [name for name, _ in commands] == ["train", "test"]
    for _, command in commands:
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


@pytest.mark.parametrize("row", EQUATIONS, ids=lambda row: row[0])
def test_the_table_of_equations(row):
    equation, functions, tests = row
    assert equation
    for name in re.findall(r"`([\w.]+)(?:\([^)]*\))?`", functions):
        module, _, attribute = name.rpartition(".")
        if module in ("", "matconv.phi", "matconv.losses", "matconv.kernels.toom_cook"):
            owner = import_module(module or "matconv")
            found = hasattr(owner, attribute) or hasattr(matconv.phi, attribute)
            assert found, name
        else:
            assert hasattr(getattr(matconv, module), attribute), name
    for path in re.findall(r"`(tests/[\w.]+)`", tests):
        assert (TOP / path).is_file(), path


def test_files_that_are_named_exist():
    for path in re.findall(r"(?:tests|bench|\.ci)/[\w/.]*\w", README):
        assert (TOP / path).exists(), path
