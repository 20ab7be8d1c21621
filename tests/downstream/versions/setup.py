"""One client, compiled against headers of other versions: those installed, with one change."""

import re
from pathlib import Path

from setuptools import Extension, setup

import matconv

HEADERS = Path(matconv.get_include(), "matconv")
# a header, and the pattern in it that is replaced once
CHANGES = {
    "today": None,
    "newer": ("table.h", r"\} matconv_api;", r"int (*of_the_future)(void);\n} matconv_api;"),
    "older": (
        "table.h", r"    /\* Open a network written by Network\.export(.*?)(?=\} matconv_api;)", "",
    ),
    "incompatible": ("types.h", r"(?<=#define MATCONV_ABI_VERSION )\d+", "999"),
}  # fmt: skip


def doctored(name):
    """A folder to include from, with the headers of that version."""
    folder = Path("build", "headers", name)
    (folder / "matconv").mkdir(parents=True, exist_ok=True)
    texts = {path.name: path.read_text(encoding="utf-8") for path in HEADERS.glob("*.h")}
    if CHANGES[name]:
        header, pattern, new = CHANGES[name]
        texts[header], count = re.subn(pattern, new, texts[header], flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"{header}: {count} places to make it {name}")
    for header, text in texts.items():
        (folder / "matconv" / header).write_text(text, encoding="utf-8")
    return str(folder)


setup(
    ext_modules=[
        Extension(
            name,
            ["client.c"],
            include_dirs=[doctored(name)],
            define_macros=[("NAME", name)],
            extra_compile_args=["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"],
        )
        for name in CHANGES
    ]
)
