"""What matconv/README.md says is true: files exist, the solver runs.

`tests/downstream/test_added_operation.py` builds the operation.
"""

import re

import numpy as np
import package_readme
import pytest
from minimizing import small

from matconv import minimize
from matconv.solvers import METHODS

TEXT = package_readme.README.read_text(encoding="utf-8")


def test_package_readme_solver_descends(monkeypatch):
    names = {}
    exec(compile(package_readme.block("solver"), "matconv/README.md", "exec"), names)  # noqa: S102
    monkeypatch.setitem(METHODS, "steepest", names["steepest"])
    f, theta0 = small()
    result = minimize(f, theta0, "steepest", 5, learning_rate=0.01)
    values = [row["f"] for row in result.history]
    assert result.message == "5 iterations done" and values == sorted(values, reverse=True)
    assert values[-1] < values[0] == f(theta0)
    expected = theta0 - 0.01 * f.gradient(theta0)
    one = minimize(f, theta0, "steepest", 1, learning_rate=0.01)
    np.testing.assert_array_equal(one.theta, expected)


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`((?:\w+/)*\w+(?:\.(?:py|pyx|pxd)|/))`", TEXT)))
)
def test_package_readme_names_existing_file(name):
    places = [package_readme.TOP / "matconv" / name, package_readme.TOP / name]
    assert any(place.exists() for place in places), name


def test_package_readme_operation_has_every_part():
    said = [mark for mark, _ in package_readme.blocks()]
    assert said == [
        "new file: matconv/kernels/ops/square_root.pxd",
        "in matconv/kernels/_operations.pyx after: from .ops.scale cimport operation as scale",
        "in matconv/kernels/_operations.pyx after: add_table(scale())",
        "at the end of matconv/layers/elementwise.py",
        "in matconv/layers/__init__.py after: from .elementwise import Scale as Scale",
        "in matconv/layers/__init__.py after:         Scale,",
        "new file: tests/test_square_root.py",
        "commands",
        "solver",
    ]
