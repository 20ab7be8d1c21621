"""MATLAB files of version 5, read without trusting what they declare.

SciPy's reader ends the process with a segmentation fault for some files in which a single byte is
damaged; this one raises an error. The file is a sequence of elements, each a tag (type, number of
bytes) and data; an element may be compressed by zlib. A matrix is an element made of others: flags,
dimensions, name, content. The content of a cell or of a struct is matrices.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from math import prod
from typing import Any, BinaryIO

import numpy as np

from matconv.files.errors import FilePath, format_error

from .mat5_bytes import Bytes
from .mat_values import Sparse, Unsupported

__all__ = ["read_mat5"]

_HEADER = 128
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
# type of the numbers of an element, by its own type
_STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE = 1, 2, 3, 4, 5
# classes that are not read
_OTHERS = {5: "complex sparse", 16: "function_handle", 17: "opaque"}
# type of numbers, by the class of the array
_CLASSES = dict(
    zip(range(6, 16), ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"], strict=True)
)
_COMPLEX = 0x0800
_MAX_DEPTH = 32
_MAX_TEXT = 2**16
# limit of the rows of a text
_MAX_ROWS = 2**16
# limit of what compressed content may expand to, and of the arrays: a multiple of the file, and bytes
_RATIO, _FREE = 64, 64 * 2**20
# limit of the number of arrays: one for so many bytes of the file, and a number
_BYTES_OF_ARRAY, _FREE_ARRAYS = 8, 2**17
# memory of objects, without the numbers and characters in them: an array, and each of its dimensions;
# a dict, and each of its entries; a text
_ARRAY, _DIMENSION, _DICT, _ENTRY, _STR = 256, 16, 200, 48, 80
_NOTHING = np.empty((0, 0))
_NOTHING.flags.writeable = False


class _Reader:
    """Values of the elements of a variable.

    Parameters
    ----------
    source : Bytes
    order : "<" or ">"
    arrays : int
        Maximum number of arrays.
    remaining : int
        Maximum number of bytes of the values: of arrays in the types of their classes, and of all
        objects.
    """

    def __init__(self, source: Bytes, order: str, arrays: int, remaining: int) -> None:
        self._source, self._order = source, order
        self.arrays, self.remaining = arrays, remaining

    def tag(self, left: int) -> tuple[int, int, bytes, int]:
        """Return (type, bytes of data, data of a small element, bytes of the element with its tag)."""
        if left < 8:
            raise ValueError("an element does not fit into the one around it")
        raw = self._source.read(8)
        first, count = struct.unpack(f"{self._order}II", raw)
        if first >> 16:
            kind, count = first & 0xFFFF, first >> 16
            if count > 4:
                raise ValueError(f"a small element has at most 4 bytes, got {count}")
            return kind, count, raw[4:], 8
        # writers may leave out the padding of the last element
        if 8 + count > left:
            raise ValueError(f"an element of {count} bytes does not fit into {left - 8}")
        return first, count, b"", min(8 + count + (-count % 8), left)

    def data(self, left: int, limit: int) -> tuple[int, bytes, int]:
        """Return the type and the data of an element, and the bytes left."""
        kind, count, small, total = self.tag(left)
        if small:
            return kind, small[:count], left - total
        if count > limit:
            raise ValueError(f"{count} bytes, at most {limit} are expected")
        content = self._source.read(count)
        self._source.skip(total - 8 - count)
        return kind, content, left - total

    def short(self, left: int, kind: int, what: str) -> tuple[bytes, int]:
        """Return the data of a short element, whose type is checked, and the bytes left."""
        found, content, left = self.data(left, _MAX_TEXT)
        if found != kind:
            raise ValueError(f"{what}: type {kind} expected, got {found}")
        return content, left

    def matrix(self, size: int, depth: int, names: frozenset[str] | None = None) -> tuple[str, Any]:
        """Return the name and the value of a matrix of ``size`` bytes.

        The value is not read if the name is not one of ``names``.
        """
        self.arrays -= 1
        if self.arrays < 0:
            raise ValueError("there are too many arrays for the size of the file")
        if size == 0:
            return "", _NOTHING
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")
        flags, left = self.short(size, _UINT32, "array flags")
        if len(flags) != 8:
            raise ValueError(f"array flags: 8 bytes expected, got {len(flags)}")
        word = struct.unpack(f"{self._order}I", flags[:4])[0]
        kind = word & 0xFF
        dims: tuple[int, ...] = (0, 0)
        if kind != 17:  # an object of MATLAB has no dimensions
            raw, left = self.short(left, _INT32, "dimensions")
            dims = struct.unpack(f"{self._order}{len(raw) // 4}i", raw[: len(raw) // 4 * 4])
            if not 2 <= len(dims) <= 32 or min(dims) < 0:
                raise ValueError(f"dimensions {dims[:4]} are not those of an array")
        text, left = self.short(left, _INT8, "name")
        name = text.rstrip(b"\0").decode("ascii", "replace")
        value: Any = None
        if names is None or name in names:
            value, left = self._value(left, kind, dims, depth, bool(word & _COMPLEX))
        self._source.skip(left)
        return name, value

    def _value(
        self, left: int, kind: int, dims: tuple[int, ...], depth: int, is_complex: bool
    ) -> tuple[Any, int]:
        self._reserve(_ARRAY + _DIMENSION * len(dims), "the arrays of the file take")
        if kind == _CELL:
            return self._matrices(left, prod(dims), depth)
        if kind == _STRUCT:
            return self._struct(left, prod(dims), depth)
        if kind == _OBJECT:
            text, left = self.short(left, _INT8, "name of the class")
            return Unsupported(text.decode("ascii", "replace")), left
        if kind == _CHAR:
            return self._text(left, dims)
        if kind == _SPARSE and not is_complex:
            return self._sparse(left, dims)
        if kind in _CLASSES and not is_complex:
            return self._numbers(left, dims, _CLASSES[kind])
        if kind not in _CLASSES and kind not in _OTHERS:
            raise ValueError(f"class {kind} is not one of MATLAB")
        return Unsupported("complex" if kind in _CLASSES else _OTHERS[kind]), left

    def _matrices(self, left: int, count: int, depth: int) -> tuple[list[Any], int]:
        # the tag of a matrix has 8 bytes
        if count > left // 8:
            raise ValueError(f"{count} matrices do not fit into {left} bytes")
        found = []
        for _ in range(count):
            kind, size, _, total = self.tag(left)
            if kind != _MATRIX:
                raise ValueError(f"a matrix (type {_MATRIX}) expected, got type {kind}")
            found.append(self.matrix(size, depth + 1)[1])
            self._source.skip(total - 8 - size)
            left -= total
        return found, left

    def _struct(self, left: int, count: int, depth: int) -> tuple[Any, int]:
        raw, left = self.short(left, _INT32, "length of the names of fields")
        length = struct.unpack(f"{self._order}i", raw)[0] if len(raw) == 4 else 0
        if length < 1:
            raise ValueError(f"names of fields have {length} bytes")
        text, left = self.short(left, _INT8, "names of fields")
        names = [
            text[k : k + length].partition(b"\0")[0].decode("utf-8", "replace")
            for k in range(0, len(text) // length * length, length)
        ]
        if not names and count > 1:
            raise ValueError("a struct array has no fields")
        values, left = self._matrices(left, count * len(names), depth)
        self._reserve(count * (_DICT + _ENTRY * len(names)), "the structs of the file take")
        found = [
            dict(zip(names, values[k * len(names) : (k + 1) * len(names)], strict=True))
            for k in range(count)
        ]
        return found[0] if count == 1 else found, left

    def _vector(self, left: int) -> tuple[np.ndarray, int]:
        """Return the numbers of an element as they are stored, and the bytes left."""
        kind, content, left = self.data(left, left)
        if kind not in _STORED:
            raise ValueError(f"type {kind} is not one of numbers")
        stored = np.dtype(f"{self._order}{_STORED[kind]}")
        whole = len(content) // stored.itemsize * stored.itemsize
        return np.frombuffer(content[:whole], stored), left

    def _reserve(self, count: int, what: str = "an array has") -> None:
        """Raise ValueError if values, with ``count`` bytes more, take too much for the file.

        Numbers of 8 bytes may be stored in 1 byte each, and an empty array in 8.
        """
        self.remaining -= count
        if self.remaining < 0:
            raise ValueError(f"{what} {count} bytes, too many for the file")

    def _numbers(self, left: int, dims: tuple[int, ...], dtype: str) -> tuple[np.ndarray, int]:
        array, left = self._vector(left)
        if len(array) != prod(dims):
            raise ValueError(f"{prod(dims)} elements declared, {len(array)} found")
        self._reserve(array.size * np.dtype(dtype).itemsize)
        with np.errstate(all="ignore"):
            return array.astype(dtype).reshape(dims, order="F"), left

    def _sparse(self, left: int, dims: tuple[int, ...]) -> tuple[Sparse, int]:
        rows, left = self._vector(left)
        ends, left = self._vector(left)
        values, left = self._vector(left)
        if rows.dtype.kind not in "iu" or ends.dtype.kind not in "iu":
            raise ValueError("the indices of a sparse matrix must be integers")
        self._reserve(8 * (rows.size + ends.size) + values.nbytes)
        return Sparse(dims, rows.astype(np.int64), ends.astype(np.int64), values), left

    def _text(self, left: int, dims: tuple[int, ...]) -> tuple[Any, int]:
        if prod(dims) == 0:
            return "", left
        if dims[0] > _MAX_ROWS:
            return Unsupported("char"), left
        kind, content, left = self.data(left, left)
        if kind not in _TEXTS:
            raise ValueError(f"type {kind} is not one of text")
        encoding = _TEXTS[kind]
        if encoding.startswith(("utf-16", "utf-32")):
            encoding += "-le" if self._order == "<" else "-be"
        text = content.decode(encoding, "replace")
        self._reserve(_STR * dims[0] + 4 * len(text), "a text has")
        if prod(dims) > max(len(text), 1) and len(content) < prod(dims):
            raise ValueError(f"{prod(dims)} elements declared, {len(text)} found")
        if len(dims) > 2 or dims[0] > 1:
            if len(text) != prod(dims):
                return Unsupported("char"), left
            rows = range(dims[0])
            return [text[k :: dims[0]] for k in rows], left
        return text, left


def read_mat5(path: FilePath, file: BinaryIO, size: int, names: Iterable[str]) -> dict[str, Any]:
    """Return some of the variables of a file; see `matconv.io.mat.read_mat`.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        For messages.
    file : binary file
        At its beginning.
    size : int
        Its length in bytes.
    names : iterable of str

    Raises
    ------
    FormatError
        If an element does not fit into the one around it, does not have the elements that it
        declares, is nested deeper than 32 levels, or if compressed content is damaged, or it or
        the arrays take more than 64 times the file and 64 MiB.
    """
    wanted, found = frozenset(names), {}
    at, index, expanded, arrays = _HEADER, 0, 0, size // _BYTES_OF_ARRAY + _FREE_ARRAYS
    remaining = _RATIO * size + _FREE
    order = "<" if file.read(_HEADER)[126:128] == b"IM" else ">"
    while at < size:
        where = f"damaged MATLAB file: element {index} at byte {at}"
        tag = file.read(8)
        if len(tag) < 8:
            raise format_error(path, f"{where}: truncated")
        kind, count = struct.unpack(f"{order}II", tag)
        at += 8
        if count > size - at:
            raise format_error(path, f"{where}: {count} bytes declared, {size - at} are left")
        if kind not in (_MATRIX, _COMPRESSED):
            raise format_error(path, f"{where}: type {kind} is not that of a variable")
        limit = _RATIO * size + _FREE - expanded if kind == _COMPRESSED else None
        source = Bytes(file, count, limit)
        reader = _Reader(source, order, arrays, remaining)
        try:
            name, value = _variable(source, reader, order, count, wanted)
        except (ValueError, EOFError, OverflowError, zlib.error, struct.error) as error:
            raise format_error(path, f"{where}: {error}") from error
        if name in wanted:
            found[name] = value
        expanded += source.expanded
        arrays, remaining = reader.arrays, reader.remaining
        at += count
        file.seek(at)
        index += 1
    return found


def _variable(
    source: Bytes, reader: _Reader, order: str, count: int, names: frozenset[str]
) -> tuple[str, Any]:
    if source.compressed:
        kind, count = struct.unpack(f"{order}II", source.read(8))
        if kind != _MATRIX:
            raise ValueError(f"compressed type {kind} is not that of a variable")
    named = reader.matrix(count, 0, names)
    source.finish()
    return named
