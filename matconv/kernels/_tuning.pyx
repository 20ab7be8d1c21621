"""Sizes and costs that depend on the BLAS kernel: a table of named rows.

OpenBLAS chooses a kernel for the processor when it is loaded. Kernels differ in the sizes of
products that they compute fast: those for SkylakeX multiply small matrices in cache without packing
them, the others need many columns and whole products. The row is chosen here at import, by the name
of the kernel alone; the environment variable MATCONV_TUNING selects another one. All sizes of
blocks, and so the bits of results, follow from the row and the geometry.
"""

import ctypes
import os

import scipy.linalg.cython_blas

_VARIABLE = "MATCONV_TUNING"
# a product is not divided
_WHOLE = {
    "product_rows": 1 << 30, "product_inner": 1 << 30, "product_multiply_adds": 1 << 62,
    "transposes": 1,
}  # fmt: skip
# OpenBLAS does not pack the operands of a product with up to about so many multiply-adds
_UNPACKED = {
    "product_rows": 64, "product_inner": 128, "product_multiply_adds": 64 * 48 * 128,
    "transposes": 0,
}  # fmt: skip
_COMMON = {
    "columns": 4,
    "phi_elements": 1 << 16, "min_phi_columns": 96, "max_phi_columns": 512,
    "min_phi_columns_large": 256, "min_tiles": 32, "max_tiles": 128, "min_piece_tiles": 28,
    "gather": 20, "gather_row": 10, "transform": 14, "call": 6, "filters": 40, "stream": 10,
}  # fmt: skip
# An element is gathered in the same time in both dtypes, and multiplied in half the time in single.
_SINGLE = {**_COMMON, "gather": 40}

# (double, single)
_ROWS = {
    "skylakex": ({**_COMMON, **_UNPACKED}, {**_SINGLE, **_UNPACKED}),
    "haswell": (
        {**_COMMON, **_WHOLE, "columns": 8},
        {**_SINGLE, **_WHOLE, "columns": 16, "min_tiles": 192, "max_tiles": 512},
    ),
    "default": ({**_COMMON, **_WHOLE}, {**_SINGLE, **_WHOLE, "min_tiles": 64, "max_tiles": 256}),
}
# by the name of OpenBLAS's kernel in lower case
_ROW_OF_KERNEL = {
    "skylakex": "skylakex", "cooperlake": "skylakex", "sapphirerapids": "skylakex",
    "haswell": "haswell", "zen": "haswell",
}  # fmt: skip
NAMES = tuple(_ROWS)

cdef Tuning tunings[2]  # single, double


cdef const Tuning *tuning_of(bint is_double) noexcept nogil:
    return &tunings[is_double]


def blas_kernel():
    """Return the name of the kernel of SciPy's OpenBLAS, or "" if the BLAS is another one."""
    library = ctypes.CDLL(scipy.linalg.cython_blas.__file__)
    for prefix in ("scipy_", ""):
        for suffix in ("", "64_", "_64"):
            function = getattr(library, f"{prefix}openblas_get_corename{suffix}", None)
            if function is not None:
                function.restype = ctypes.c_char_p
                return function().decode()
    return ""


def _choose():
    wanted = os.environ.get(_VARIABLE)
    if not wanted:
        return _ROW_OF_KERNEL.get(kernel.lower(), "default")
    if wanted not in _ROWS:
        raise ImportError(f"{_VARIABLE} is {wanted!r}, expected one of {', '.join(_ROWS)}")
    return wanted


def row(bint is_double):
    """Return the values that are in use for a dtype, by name."""
    return tunings[is_double]


def use(values, bint is_double):
    """Use other values for a dtype: only to measure them, in a process without plans or threads.

    Parameters
    ----------
    values : dict
        A value for each member of the struct.
    is_double : bool
    """
    tunings[is_double] = values


kernel = blas_kernel()
name = _choose()
tunings[1], tunings[0] = _ROWS[name]
