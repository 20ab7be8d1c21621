"""Arrays next to memory that cannot be accessed, made by mmap and mprotect of Linux."""

import ctypes
import mmap

import numpy as np

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
]  # fmt: skip
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_NO_ACCESS = 0
_FAILED = ctypes.c_void_p(-1).value


def _check(done):
    if not done:
        raise OSError(ctypes.get_errno(), "mmap, mprotect or munmap failed")


class Guard:
    """Context manager that makes arrays at the beginning or the end of accessible memory.

    At its end the arrays are unmapped and must not be used.

    Parameters
    ----------
    at_end : bool
        Whether the inaccessible page follows the last element or precedes the first one.
    """

    def __init__(self, at_end):
        self.at_end = at_end
        self.regions = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for address, length in self.regions:
            _check(_libc.munmap(address, length) == 0)
        self.regions.clear()

    def empty(self, shape, dtype):
        """Return a C-contiguous array, full of NaN if the dtype has one."""
        dtype = np.dtype(dtype)
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        page = mmap.PAGESIZE
        inner = -(-nbytes // page) * page
        length = inner + 2 * page
        address = _libc.mmap(
            None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
            -1, 0,
        )  # fmt: skip
        _check(address != _FAILED)
        self.regions.append((address, length))
        _check(_libc.mprotect(address, page, _NO_ACCESS) == 0)
        _check(_libc.mprotect(address + page + inner, page, _NO_ACCESS) == 0)
        start = address + page + (inner - nbytes if self.at_end else 0)
        array = np.frombuffer((ctypes.c_char * nbytes).from_address(start), dtype).reshape(shape)
        array.view(np.uint8).fill(0xFF)  # a NaN in float64 and float32, -1 in int32
        return array

    def copy(self, array):
        """Return a read-only C-contiguous copy next to the inaccessible page."""
        guarded = self.empty(array.shape, array.dtype)
        guarded[...] = array
        guarded.flags.writeable = False
        return guarded
