"""An operation added from outside: matconv/README.md followed word for word in a copy of the tree.

Not collected by a plain ``pytest``; needs a C compiler and what builds the package:

    pytest -s tests/downstream/test_added_operation.py

The copy takes over what is built in this tree, so that only the list of operations is compiled.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from downstream.running import run

TOP = Path(__file__).resolve().parents[2]

from support import package_readme

# what an added operation may touch: its file, its dataclass, the two lists, its tests
NEW = ["matconv/kernels/ops/square_root.pxd", "tests/test_square_root.py"]
CHANGED = [
    "matconv/kernels/_operations.pyx",
    "matconv/layers/__init__.py",
    "matconv/layers/elementwise.py",
]


def copy_tree(folder):
    """The files under version control, and what was built of them, not older than these."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        if (TOP / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, folder / name)
    if (TOP / "build").is_dir():
        shutil.copytree(TOP / "build", folder / "build")
        # sources first, so that what was made of them is newer
        for ending in ("*.[ch]", "*.o", "*.so"):
            for path in (folder / "build").rglob(ending):
                path.touch()
        for path in (*TOP.glob("matconv/kernels/*.so"), *TOP.glob("matconv/kernels/*/*.so")):
            (folder / path.relative_to(TOP)).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / path.relative_to(TOP))


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """A copy of the tree with the operation, built; and what was added, by path."""
    folder = tmp_path_factory.mktemp("tree")
    copy_tree(folder)
    lines, new = package_readme.follow(folder, "Adding an operation")
    assert new == NEW and sorted(lines) == sorted(NEW + CHANGED)
    build, test = package_readme.block("commands").splitlines()
    python, *words = shlex.split(build)
    assert python == "python"
    run(sys.executable, *words, cwd=folder)
    return folder, lines, test


def test_added_operation_passes_its_tests(added):
    folder, lines, test = added
    python, *words = shlex.split(test)
    assert python == "python"
    said = run(sys.executable, *words, cwd=folder, environment={"PYTHONPATH": str(folder)})
    assert "6 passed" in said, said
    print()
    for name, count in lines.items():
        print(f"{name}: {count} lines {'(new)' if name in NEW else 'added'}")
    inside = {name: count for name, count in lines.items() if not name.startswith("tests")}
    print(f"an operation: {len(inside)} files, {sum(inside.values())} lines, and its tests")


def test_added_operation_is_unknown_to_the_tree_itself(added):
    folder, _, _ = added
    code = "from matconv.kernels._shapes import output_shape; print(output_shape(*{!r}))"
    call = ("SquareRoot", [(3, 2, 1)], [], [])
    for place, known in ((folder, True), (TOP, False)):
        result = subprocess.run(
            [sys.executable, "-c", code.format(call)], cwd=place, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(place)}, check=False,
        )  # fmt: skip
        assert ("((3, 2, 1), [])" in result.stdout) == known, result.stderr
        assert ("KeyError: 'SquareRoot'" in result.stderr) != known, result.stderr
