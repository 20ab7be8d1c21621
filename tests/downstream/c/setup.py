"""Modules in C99: `plain` and `predicting`, examples to copy; `faults` and `crowds`, hard cases."""

from setuptools import Extension, setup

import matconv

FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread"]

setup(
    ext_modules=[
        Extension(
            name,
            [f"{name}.c"],
            include_dirs=[matconv.get_include()],
            extra_compile_args=FLAGS,
            extra_link_args=["-pthread"],
        )
        for name in ("plain", "predicting", "faults", "crowds")
    ],
)
