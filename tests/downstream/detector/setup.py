"""One Cython module on `matconv.kernels`."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import matconv

setup(
    ext_modules=cythonize(
        [Extension("scanner", ["scanner.pyx"], include_dirs=[matconv.get_include()])]
    ),
    py_modules=["detect"],
)
