"""Selection of the SIMD variant: the best one that is built and that the processor supports.

The baseline of every kernel is in this folder. A variant is the same kernel compiled for more
instruction sets of the processor, in the sub-folder of its name. A kernel that a variant does not
have is that of the next variant that has it. The environment variable MATCONV_SIMD selects another
variant than the best.
"""

import os
from importlib.machinery import EXTENSION_SUFFIXES

from .cpu import variants

_FOLDER = os.path.dirname(__file__)
_VARIABLE = "MATCONV_SIMD"


def _is_built(name: str) -> bool:
    """Return whether a variant has a module for this Python."""
    try:
        files = os.listdir(os.path.join(_FOLDER, name))
    except OSError:
        return False
    return any(f".{file.partition('.')[2]}" in EXTENSION_SUFFIXES for file in files)


def _choose() -> str:
    wanted = os.environ.get(_VARIABLE)
    if not wanted:
        return usable[0]
    if wanted not in usable:
        raise ImportError(
            f"{_VARIABLE} is {wanted!r}, expected one of {', '.join(usable)} (built: "
            f"{', '.join(built)}; this processor runs: {', '.join(supported)})"
        )
    return wanted


# from the best to the baseline
supported = variants()
built = (*filter(_is_built, ("avx512", "avx2")), "baseline")
usable = [name for name in supported if name in built]
variant = _choose()
# folders that are searched for the kernels before this one, which has the baseline
path = [os.path.join(_FOLDER, name) for name in usable[usable.index(variant) : -1]]
