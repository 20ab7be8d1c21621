"""The header of an array in an .npz file, checked before memory of the array's size is allocated.

The header's bytes must match the pattern of a plain numeric array before NumPy's own parser reads
them: no nested types, no names, no pickle, nothing for which the parser warns or raises.
"""

import io
import math
import re
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from matconv.files.regular import shortened

__all__ = ["ArrayHeader", "BadHeader", "read_header"]

# NumPy pads the headers of plain arrays to 128 bytes, with many dimensions to a few hundred
_MAX_HEADER = 4096
# maximum of NumPy 1; images, labels and theta have at most 4
_MAX_DIMS = 32

# Without the type letter a, for which NumPy warns. Python 2 wrote long integers as 3L and, in
# programs with unicode_literals, strings as u'descr'.
_ENTRY = (
    rb"(?:u?'descr': *u?'[<>|=]?[?A-Zb-z]\d{0,4}'"
    rb"|u?'fortran_order': *(?:True|False)"
    rb"|u?'shape': *\((?:[-\d, ']|\dL)*\))"
)
_LONG = re.compile(rb"(?<=\d)L(?=[,) ])")
_PLAIN = re.compile(rb"\{ *" + _ENTRY + rb"(?:, *" + _ENTRY + rb"){2},? *\} *\n?")
_OBJECTS = re.compile(rb"'descr': *'[<>|=]?O")


class BadHeader(Exception):
    """A header is wrong; the caller adds the names of the file and the array."""


class ArrayHeader(NamedTuple):
    """Content of an .npy header; `nbytes` bytes of data follow at byte `start`."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    start: int

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes; a Python integer, so that it cannot overflow."""
        return math.prod(self.shape) * self.dtype.itemsize


def _exactly(stream: Any, count: int, what: str) -> bytes:
    content: bytes = stream.read(count)
    if len(content) < count:
        raise BadHeader(f"truncated in the {what}: expected {count} bytes, got {len(content)}")
    return content


def _check_plain(text: bytes) -> None:
    """Raise BadHeader unless the text is a dict with a simple type, an order and a shape."""
    if _OBJECTS.search(text):
        raise BadHeader("an array of Python objects (pickle), which is never read")
    if not _PLAIN.fullmatch(text):
        raise BadHeader(f"not the header of a plain array: {shortened(text)}")


def _check_array(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise BadHeader unless the elements are numbers and the dimensions are possible."""
    if dtype.kind not in "biufc":
        raise BadHeader(f"expected numbers, got the type {dtype}")
    if len(shape) > _MAX_DIMS:
        raise BadHeader(f"{len(shape)} dimensions, expected at most {_MAX_DIMS}")
    if any(size < 0 for size in shape):
        raise BadHeader(f"a negative dimension in the shape {shortened(shape)}")
    # without zeros: also the other dimensions of an empty array must be possible
    if math.prod(size for size in shape if size) * dtype.itemsize > np.iinfo(np.intp).max:
        raise BadHeader(f"the shape {shortened(shape)} is beyond any memory")


def read_header(stream: Any) -> ArrayHeader:
    """Read the .npy header at the beginning of `stream`, and nothing after it.

    Parameters
    ----------
    stream : binary file

    Returns
    -------
    ArrayHeader

    Raises
    ------
    BadHeader
        If the header is damaged, has another version than 1.0 or 2.0, or does not describe a plain
        array of booleans, integers, floats or complex numbers. Headers that Python 2 wrote are
        read.

    Examples
    --------
    >>> stream = io.BytesIO()
    >>> np.save(stream, np.zeros((2, 3)))
    >>> position = stream.seek(0)
    >>> header = read_header(stream)
    >>> header.shape, header.dtype, header.nbytes, header.start
    ((2, 3), dtype('float64'), 48, 128)
    """
    magic = _exactly(stream, npy.MAGIC_LEN, "magic string")
    try:
        version = npy.read_magic(io.BytesIO(magic))
    except ValueError as error:
        raise BadHeader(f"not an .npy array: {error}") from error
    if version == (1, 0):
        size, parse = "<H", npy.read_array_header_1_0
    elif version == (2, 0):
        size, parse = "<I", npy.read_array_header_2_0
    else:
        raise BadHeader(f"expected .npy version 1.0 or 2.0, got {version[0]}.{version[1]}")
    length = _exactly(stream, struct.calcsize(size), "header length")
    (count,) = struct.unpack(size, length)
    if count > _MAX_HEADER:
        raise BadHeader(f"an .npy header of {count} bytes, expected at most {_MAX_HEADER}")
    text = _exactly(stream, count, "header")
    _check_plain(text)
    # spaces in place of L, so that the length of the text does not change
    text = _LONG.sub(b" ", text)
    try:
        shape, fortran_order, dtype = parse(io.BytesIO(length + text), max_header_size=_MAX_HEADER)
    except Exception as error:
        # The parser's second attempt, for headers of Python 2, may raise errors of the tokenizer.
        raise BadHeader(f"not an .npy header: {shortened(error)}") from error
    _check_array(shape, dtype)
    return ArrayHeader(shape, fortran_order, dtype, len(magic) + len(length) + count)
