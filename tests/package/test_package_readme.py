"""What matconv/README.md says is true: the files exist, and each section has every part.

`test_added_solver.py` follows the section on solvers, `downstream/test_added_operation.py` builds
the operation.
"""

import re

import pytest
from support import package_readme

TEXT = package_readme.README.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`((?:\w+/)*\w+(?:\.(?:py|pyx|pxd)|/))`", TEXT)))
)
def test_package_readme_names_existing_file(name):
    places = [package_readme.TOP / "matconv" / name, package_readme.TOP / name]
    assert any(place.exists() for place in places), name


def test_package_readme_operation_has_every_part():
    said = [mark for mark, _ in package_readme.blocks("Adding an operation")]
    assert said == [
        "new file: matconv/kernels/ops/square_root.pxd",
        "in matconv/kernels/_operations.pyx after: from .ops.scale cimport operation as scale",
        "in matconv/kernels/_operations.pyx after: add_table(scale())",
        "at the end of matconv/layers/elementwise.py",
        "in matconv/layers/__init__.py after: from .elementwise import Scale as Scale",
        "in matconv/layers/__init__.py after:         Scale,",
        "new file: tests/test_square_root.py",
        "commands",
    ]


def test_package_readme_solver_has_every_part():
    said = [mark for mark, _ in package_readme.blocks("Adding a solver")]
    assert said == [
        "new file: matconv/solvers/steepest.py",
        "in matconv/solvers/minimizer.py after: from .sgd import METHOD as SGD",
        "in matconv/solvers/minimizer.py after:         SGD,",
        "solver",
        "solver commands",
    ]
