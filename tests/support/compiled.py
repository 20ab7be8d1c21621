"""A Cython module of this folder, built for a process that imports it: ``compiled.build``."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import matconv

HERE = Path(__file__).parent
BUILD = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup

source, include, *flags = sys.argv[1:]
sys.argv[1:] = ["-q", "build_ext", "--inplace"]
module = Extension("pieces", [source], include_dirs=[include], extra_compile_args=["-O1", *flags],
                   extra_link_args=flags)
setup(name="pieces", ext_modules=cythonize([module], quiet=True, language_level=3))
"""


def build(folder, *flags):
    """Build ``pieces`` in a folder, with further flags of the compiler.

    The modules of matconv that it calls are those that this process imports.
    """
    folder = Path(folder)
    source = folder / "pieces.pyx"
    source.write_text((HERE / "pieces.pyx").read_text(encoding="utf-8"), encoding="utf-8")
    top = Path(matconv.__file__).parents[1]
    path = os.pathsep.join([str(top), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", BUILD, str(source), matconv.get_include(), *flags], cwd=folder,
        env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True, text=True,
    )  # fmt: skip


def expected_sums(start, rounds):
    """What `pieces.sums` computes."""
    sums = np.array(start, np.uint64)
    for _ in range(rounds):
        sums = sums + np.roll(sums, -1)
    return sums
