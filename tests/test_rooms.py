"""The map in ``matconv.__doc__``: each submodule imports only from those above it."""

import ast
import re
from pathlib import Path

import matconv

PACKAGE = Path(matconv.__file__).parent
ROOMS = re.findall(r"^    (\w+) {2,}", matconv.__doc__, re.MULTILINE)


def imported_rooms(path):
    """The rooms that a module imports, at its top or inside a function."""
    within = path.relative_to(PACKAGE).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = node.module.split(".") if node.module else []
        if node.level == len(within):
            yield from module[:1] or [alias.name for alias in node.names]
        elif node.level == 0 and module[:1] == ["matconv"]:
            yield from module[1:2] or [alias.name for alias in node.names]


def test_every_room_is_on_the_map():
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    public = {name for name in modules | packages if not name.startswith("_")}
    assert sorted(ROOMS) == sorted(public)


def test_rooms_import_only_from_above():
    below = []
    seen = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in ROOMS:
            continue
        for other in imported_rooms(path):
            if other in ROOMS:
                seen += 1
                if ROOMS.index(other) > ROOMS.index(room):
                    below.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert below == []
    assert seen > 30
