"""An extension module in C++11 of two translation units that share one table of functions."""

from setuptools import Extension, setup

import matconv

setup(
    ext_modules=[
        Extension(
            "pluscxx",
            ["module.cpp", "layers.cpp"],
            depends=["layers.hpp"],
            language="c++",
            include_dirs=[matconv.get_include()],
            # a name of its own: two such libraries may be linked into one program
            define_macros=[("MATCONV_TABLE", "pluscxx_matconv_table")],
            extra_compile_args=["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"],
            extra_link_args=["-pthread"],
        )
    ],
)
