"""The list of submodules in ``matconv.__doc__``: each imports only from those above it."""

import ast
import re
from pathlib import Path

import matconv

PACKAGE = Path(matconv.__file__).parent
SUBMODULES = re.findall(r"^    (\w+) {2,}", matconv.__doc__, re.MULTILINE)


def imported_submodules(path):
    """Yield the submodules that a file imports, at its top or inside a function."""
    within = path.relative_to(PACKAGE).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = node.module.split(".") if node.module else []
        if node.level == len(within):
            yield from module[:1] or [alias.name for alias in node.names]
        elif node.level == 0 and module[:1] == ["matconv"]:
            yield from module[1:2] or [alias.name for alias in node.names]


def test_submodules_are_all_listed():
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    public = {name for name in modules | packages if not name.startswith("_")}
    assert sorted(SUBMODULES) == sorted(public)


def test_submodules_import_only_from_above():
    below = []
    seen = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        submodule = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if submodule not in SUBMODULES:
            continue
        for other in imported_submodules(path):
            if other in SUBMODULES:
                seen += 1
                if SUBMODULES.index(other) > SUBMODULES.index(submodule):
                    below.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert below == []
    assert seen > 30
