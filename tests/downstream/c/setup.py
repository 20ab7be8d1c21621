"""Modules in C99: `plain`, `predicting` and `fitting`, examples to copy; the others, hard cases."""

from setuptools import Extension, setup

import matconv

# -ffp-contract=off: sums in `fitting` have the same bits in C and in NumPy on any processor
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread",
         "-ffp-contract=off"]  # fmt: skip

setup(
    ext_modules=[
        Extension(
            name,
            [f"{name}.c"],
            include_dirs=[matconv.get_include()],
            extra_compile_args=FLAGS,
            extra_link_args=["-pthread"],
        )
        for name in ("plain", "predicting", "fitting", "faults", "crowds")
    ],
)
