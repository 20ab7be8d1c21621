"""Cython modules on `matconv.kernels`; with OpenMP where the compiler is known to have it."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

import matconv

OPENMP = ["-fopenmp"] if sys.platform == "linux" else []

setup(
    ext_modules=cythonize(
        [
            Extension(
                name,
                [f"{name}.pyx"],
                include_dirs=[matconv.get_include()],
                extra_compile_args=OPENMP,
                extra_link_args=[*OPENMP, "-pthread"],
            )
            for name in ("filters", "curvature")
        ]
    ),
)
