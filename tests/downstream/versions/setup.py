"""One client, compiled against headers of other versions: those installed, with one change."""

import re
from pathlib import Path

from setuptools import Extension, setup

import matconv

HEADERS = Path(matconv.get_include(), "matconv")
# the pattern and what replaces it, once, in types.h
CHANGES = {
    "today": ("", ""),
    "newer": (r"\} matconv_api;", r"int (*of_the_future)(void);\n} matconv_api;"),
    "older": (r"    /\* Open a network written by Network\.export(.*?)(?=\} matconv_api;)", ""),
    "incompatible": (r"(?<=#define MATCONV_ABI_VERSION )\d+", "999"),
}


def doctored(name):
    """A folder to include from, with the headers of that version."""
    folder = Path("build", "headers", name)
    (folder / "matconv").mkdir(parents=True, exist_ok=True)
    text = (HEADERS / "types.h").read_text(encoding="utf-8")
    if name != "today":
        text, count = re.subn(*CHANGES[name], text, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"types.h: {count} places to make it {name}")
    (folder / "matconv" / "types.h").write_text(text, encoding="utf-8")
    text = (HEADERS / "matconv.h").read_text(encoding="utf-8")
    (folder / "matconv" / "matconv.h").write_text(text, encoding="utf-8")
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
