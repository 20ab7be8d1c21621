"""C code that the tests compile."""

import ctypes
import os
import subprocess
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).parent

from support.capi import as_argument

MOST_ARGUMENTS = 10


def compiled(name, folder, *flags):
    """The shared library of a C file of this folder."""
    made = Path(folder, f"{name}.so")
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", *flags,
         str(HERE / f"{name}.c"), "-o", str(made)], check=True,
    )  # fmt: skip
    return made


class Native:
    """Calls functions of C on threads of their own with so many bytes of stack."""

    def __init__(self, size):
        self.size = size
        with tempfile.TemporaryDirectory() as folder:
            self.library = ctypes.CDLL(str(compiled("native", folder, "-pthread")))
        self.library.native_call.argtypes = [
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,
        ]  # fmt: skip

    def call(self, function, *arguments):
        """Its status, and the bytes of stack that were touched; arguments as for `capi.entry`."""
        given = (ctypes.c_ssize_t * MOST_ARGUMENTS)(*(as_argument(a) or 0 for a in arguments))
        touched = ctypes.c_size_t()
        status = self.library.native_call(
            ctypes.cast(function, ctypes.c_void_p), ctypes.addressof(given), self.size,
            ctypes.addressof(touched),
        )  # fmt: skip
        return status, touched.value
