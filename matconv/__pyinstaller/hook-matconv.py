"""Modules and files of matconv that PyInstaller does not find by itself.

Compiled modules import each other, numpy and scipy.linalg.cython_blas from C. The modules of the
SIMD variants have the same names as those of the baseline and are in folders that are not packages,
which `matconv.kernels.simd` puts before the package's own. Submodules are imported by name.
"""

# ruff: noqa: N999 - PyInstaller finds a hook by this name
import os
from importlib.machinery import EXTENSION_SUFFIXES

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, get_package_paths

base, package = get_package_paths("matconv")


def _is_needed(name):
    return ".__" not in name  # neither __main__ nor these hooks


hiddenimports = collect_submodules("matconv", filter=_is_needed)
hiddenimports += ["numpy", "scipy.linalg.cython_blas", "threadpoolctl"]
datas = collect_data_files("matconv.data", includes=["*.csv.gz"])
kernels = os.path.join(package, "kernels")
binaries = [
    (file.path, os.path.relpath(variant.path, base))
    for variant in os.scandir(kernels)
    if variant.is_dir()
    for file in os.scandir(variant)
    if file.name.endswith(tuple(EXTENSION_SUFFIXES))
]
