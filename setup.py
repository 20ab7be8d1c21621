"""Build the kernels: each ``matconv/kernels/*.pyx`` becomes one extension module.

Everything else about the package stands in pyproject.toml.
"""

import os
import sys
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

# IEEE arithmetic throughout. -fno-trapping-math says only that nobody reads the exception
# flags; without it the compiler may not turn `x if not x <= 0 else 0` into a SIMD mask.
# The loops that copy a few numbers must stay loops instead of becoming calls of memcpy.
if sys.platform == "win32":
    FLAGS = ["/O2"]
else:
    FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math"]
    if sys.platform == "linux":
        # without debugging symbols the wheel has a quarter of the size
        FLAGS += ["-fno-tree-loop-distribute-patterns", "-g0"]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "embedsignature": True,
    "autotestdict": False,
}

extensions = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        include_dirs=[np.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=FLAGS,
    )
    for path in sorted(Path("matconv/kernels").glob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython",
        compiler_directives=DIRECTIVES,
        nthreads=0 if sys.platform == "win32" else os.cpu_count() or 1,
    ),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
