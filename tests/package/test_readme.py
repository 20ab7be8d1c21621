"""The READMEs are true: examples run, and the files and functions that they name exist."""

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from support.tolerances import assert_within, rounding_bound

import matconv

TOP = Path(__file__).parents[2]
README = (TOP / "README.md").read_text(encoding="utf-8")
# matconv/README.md has tests of its own
READMES = (
    "README.md", "include/README.md", "bench/README.md", "tests/README.md", "CONTRIBUTING.md",
)  # fmt: skip
EQUATIONS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in re.search(r"\| equation of the notes.*?\n\n", README, re.DOTALL)[0].splitlines()[2:]
    if line
]


def test_readme_examples_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (section,) = re.findall(r"^## Examples\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own README
    accuracy, *summary = capsys.readouterr().out.splitlines()
    scores = names["net"].forward(names["result"].theta, names["digits"].Z_test)
    # sums of some hundred products in several layers, by other tiles
    bound = rounding_bound(4000, 1 + np.abs(scores))
    assert_within(names["scores"], scores, bound)
    assert_within(names["out"], scores[:1], bound[:1])
    assert (tmp_path / "digits.matconv").is_file() and len(blocks) == 5
    assert float(accuracy) > 0.95
    assert any("Add" in line for line in summary)
    assert names["gradient"].shape == (names["net"].n,) == names["theta"].shape
    assert np.shares_memory(names["W"], names["theta"])
    assert names["batch"].l == 64
    n = names["net"].n
    assert names["Jv"].shape == (64, 10)
    assert {names[name].shape for name in ("Gv", "Hv", "step")} == {(n,)}
    assert names["found"].fun < names["value"]


def test_readme_has_two_commands():
    commands = re.findall(r"<!-- command: (\w+) -->\n```sh\n(.*)\n```", README)
    assert [name for name, _ in commands] == ["train", "test"]
    for _, command in commands:
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


@pytest.mark.parametrize("row", EQUATIONS, ids=lambda row: row[0])
def test_table_of_equations_names_what_exists(row):
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


@pytest.mark.parametrize("name", READMES)
def test_readme_named_files_exist(name):
    path = TOP / name
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!http|#)([^)#]+)\)", text)
    for target in targets:
        assert (path.parent / target).exists(), target
    named = re.findall(r"(?:tests|bench|include|matconv|\.ci)/[\w/.]*\w", text)
    for target in named:
        assert (TOP / target).exists() or (path.parent / target).exists(), target
    assert targets or named


def test_top_readme_has_at_most_200_lines():
    assert len(README.splitlines()) <= 200


def test_catalogue_of_bad_input_is_that_of_the_tests():
    text = (TOP / "tests" / "README.md").read_text(encoding="utf-8")
    listed = [int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    marked = set()
    for path in (TOP / "tests").rglob("test_*.py"):
        for numbers in re.findall(r"catalogue\(([\d, ]+)\)", path.read_text(encoding="utf-8")):
            marked.update(map(int, numbers.split(",")))
    assert listed == sorted(marked)
