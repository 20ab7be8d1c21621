"""Memory layouts of an array: each function returns the same elements in another layout."""

import numpy as np


def non_contiguous(array, path=None):
    """Every second number of a larger array, along every axis."""
    large = np.full([2 * n for n in array.shape], 77, array.dtype)
    view = large[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def transposed(array, path=None):
    """Column-major."""
    return np.asfortranarray(array)


def negative_strides(array, path=None):
    """Backwards along every axis."""
    everywhere = (slice(None, None, -1),) * array.ndim
    return array[everywhere].copy()[everywhere]


def read_only(array, path=None):
    array = array.copy()
    array.flags.writeable = False
    return array


def misaligned(array, path=None):
    """One byte beside its place."""
    block = np.zeros(array.nbytes + 1, np.uint8)
    view = block[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned
    return view


def byte_swapped(array, path=None):
    swapped = array.astype(array.dtype.newbyteorder())
    assert not swapped.dtype.isnative
    return swapped


def memory_mapped(array, path):
    """A file, opened for reading only."""
    array.tofile(path)
    return np.memmap(path, array.dtype, "r", shape=array.shape)


def everything_at_once(array, path):
    """Read-only, byte-swapped, backwards and with gaps, from a file."""
    large = non_contiguous(byte_swapped(array[::-1], path), path).base
    large.tofile(path)
    mapped = np.memmap(path, large.dtype, "r", shape=large.shape)
    return mapped[tuple(slice(None, None, 2) for _ in array.shape)][::-1]


LAYOUTS = (
    non_contiguous, transposed, negative_strides, read_only, misaligned, byte_swapped,
    memory_mapped, everything_at_once,
)  # fmt: skip
