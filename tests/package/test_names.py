"""Names of solvers, layers, losses and algorithms are listed in one place each.

Everything else goes by the list in that place. What counts as a list: a tuple, list, set or
dictionary with two of the names; a comparison or condition with two of them; comparisons with two
of them in one function; a text that mentions two. In a docstring a list must at least be complete.
"""

import ast
import re
from pathlib import Path

import pytest

import matconv
from matconv.kernels import _algorithms as algorithms
from matconv.layers import LAYERS
from matconv.losses import LOSSES
from matconv.presets import PRESETS
from matconv.solvers import METHODS
from matconv.solvers.schedules import SCHEDULES

PACKAGE = Path(matconv.__file__).parent

# what is named: the names, and where they are listed
PLACES = {
    "solvers": ([*METHODS], ("solvers/minimizer.py",)),
    "layers": ([*LAYERS], ("layers/",)),
    "losses": ([*LOSSES], ("losses/",)),
    "algorithms": ([*algorithms.NAMES], ("kernels/_algorithms.pyx",)),
    # "digits" is a word as well, and the name of the data set
    "networks": ([name for name in PRESETS if name != "digits"], ("presets/",)),
    "schedules": ([*SCHEDULES], ("solvers/schedules.py",)),
}


def names_in(text, names):
    """The names that occur in a text as whole words, also in quotes."""
    return {name for name in names if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.(-])", text)}


def docstrings(tree):
    """The constants that are docstrings."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            yield node.body[0].value


def whole(node, names):
    """The name that an expression is: as a text, or as the name of a class."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value} & set(names)
    if isinstance(node, ast.Name):
        return {node.id} & set(names)
    return set()


def listed(tree, names):
    """[(line, names)] of the lists in a module."""
    said = {id(one) for one in docstrings(tree)}
    found = []
    for node in ast.walk(tree):
        some = set()
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            some = set().union(*(whole(one, names) for one in node.elts))
        elif isinstance(node, ast.Dict):
            some = set().union(*(whole(one, names) for one in node.keys))
        elif isinstance(node, (ast.IfExp, ast.BoolOp)):
            some = set().union(*(whole(one, names) for one in ast.walk(node)))
        elif isinstance(node, ast.FunctionDef):
            compared = [
                one
                for compare in ast.walk(node)
                if isinstance(compare, (ast.Compare, ast.MatchValue))
                for one in ast.walk(compare)
            ]
            some = set().union(*(whole(one, names) for one in compared))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
        ):
            some = names_in(node.value, names)
        if len(some) > 1:
            found.append((node.lineno, sorted(some)))
    return found


def exports(tree):
    """Take ``__all__`` out of a module: the public names of the package are listed there."""
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    ]
    return tree


def parsed(path):
    return exports(ast.parse(path.read_text(encoding="utf-8")))


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("what", PLACES)
def test_names_are_listed_in_their_place_only(what):
    names, places = PLACES[what]
    found = {}
    for path in SOURCES:
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(places):
            lists = listed(parsed(path), names)
            if lists:
                found[name] = lists
    assert found == {}


@pytest.mark.parametrize("what", PLACES)
def test_names_in_compiled_code_are_listed_in_their_place_only(what):
    names, places = PLACES[what]
    found = []
    for path in sorted([*PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd")]):
        name = path.relative_to(PACKAGE).as_posix()
        code = re.sub(r'""".*?"""|#.*', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        if not name.startswith(places):
            quoted = (re.findall(r"b?[\"']([\w-]+)[\"']", line) for line in code.splitlines())
            found += [(name, some) for some in quoted if len(set(some) & set(names)) > 1]
    assert found == []


@pytest.mark.parametrize("what", ["solvers", "losses", "algorithms", "networks"])
def test_names_in_a_docstring_are_all_of_them(what):
    names, _ = PLACES[what]
    found = {}
    for path in SOURCES:
        name = path.relative_to(PACKAGE).as_posix()
        for text in (one.value for one in docstrings(ast.parse(path.read_text("utf-8")))):
            for line in text.splitlines():
                some = {one for one in names if f'"{one}"' in line}
                if 1 < len(some) < len(names):
                    found.setdefault(name, []).append(sorted(some))
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        'x = ("lbfgs", "sgd")',
        'x = {"lbfgs": 100, "sgd": 10}',
        'x = "lbfgs" if few else "sgd"',
        'x = a == "lbfgs" or a == "sgd"',
        'def f(a):\n    if a == "lbfgs":\n        return 1\n    return a == "sgd"',
        'x = "iterations of lbfgs, epochs of sgd"',
        'x = f"{n} of lbfgs, sgd"',
        "def f():\n    return [lbfgs, sgd]",
    ],
)
def test_list_is_found(code):
    assert listed(ast.parse(code), [*METHODS])


@pytest.mark.parametrize(
    "code",
    [
        '"""lbfgs, sgd"""',
        'from .lbfgs import sgd\nx = "lbfgs"',
        'def f(x="lbfgs"):\n    return "sgd" == x',
        'x = "lbfgs.py and sgd-model"',
    ],
)
def test_list_other_text_not_found(code):
    assert not listed(ast.parse(code), [*METHODS])
