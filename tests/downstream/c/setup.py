"""Modules in C99: `plain`, an example to copy; `faults` and `crowds`, which try what is hard."""

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
        for name in ("plain", "faults", "crowds")
    ],
)
