"""Check of the structure of a MATLAB file of version 5, before SciPy reads it.

The file is a sequence of elements, each a tag (type, number of bytes) and data; an element may be
compressed by zlib. A matrix is an element made of others: flags, dimensions, name, content. The
content of a cell or of a struct is matrices.
"""

from __future__ import annotations

import struct
import zlib
from math import prod
from typing import BinaryIO

from matconv.files.errors import FilePath, format_error

__all__ = ["check_mat5"]

_HEADER = 128
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
# bytes of an element of data, by its type
_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
_CELL, _STRUCT, _OBJECT, _CHAR = 1, 2, 3, 4
_NUMBERS = range(6, 16)
_COMPLEX = 0x0800
_MAX_DEPTH = 32
_MAX_TEXT = 2**16
_CHUNK = 2**16
# limit of what compressed content may expand to: a multiple of the file, and bytes
_RATIO, _FREE = 64, 64 * 2**20


class _Bytes:
    """Bytes of a file in their order, as they are or expanded by zlib.

    Parameters
    ----------
    file : binary file
        At the first byte.
    size : int
        Number of bytes in the file.
    limit : int or None
        Maximum number of expanded bytes; None if the content is not compressed.
    """

    def __init__(self, file: BinaryIO, size: int, limit: int | None) -> None:
        self._file, self._left = file, size
        self._expand = None if limit is None else zlib.decompressobj()
        self._limit = limit or 0
        self._buffer = b""
        self.expanded = 0

    def read(self, count: int) -> bytes:
        """Return the next bytes; raise ValueError if there are fewer."""
        parts = []
        while count:
            part = self._some(count)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def skip(self, count: int) -> None:
        """Skip bytes; raise ValueError if there are fewer."""
        while count:
            count -= len(self._some(min(count, _CHUNK)))

    def finish(self) -> None:
        """Read to the end, where zlib compares the checksum."""
        while True:
            try:
                self._some(_CHUNK)
            except EOFError:
                break
        if self._expand is not None and not self._expand.eof:
            raise ValueError("truncated compressed content")

    def _some(self, count: int) -> bytes:
        if self._expand is None:
            count = min(count, self._left)
            part = self._file.read(count)
            self._left -= len(part)
        else:
            part = self._expanded(count)
        if not part:
            raise EOFError("truncated")
        return part

    def _expanded(self, count: int) -> bytes:
        expand = self._expand
        assert expand is not None
        part = b""
        while not part and not expand.eof:
            if not self._buffer:
                self._buffer = self._file.read(min(self._left, _CHUNK))
                self._left -= len(self._buffer)
                if not self._buffer:
                    break
            part = expand.decompress(self._buffer, count)
            self._buffer = expand.unconsumed_tail
        self.expanded += len(part)
        if self.expanded > self._limit:
            raise ValueError(f"compressed content expands beyond the limit of {self._limit} bytes")
        return part


class _Walk:
    """Check of one element and of those inside it."""

    def __init__(self, source: _Bytes, order: str) -> None:
        self._source, self._order = source, order

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
        total = 8 + count + (-count % 8)
        # writers may leave out the padding of the last element
        if 8 + count > left:
            raise ValueError(f"an element of {count} bytes does not fit into {left - 8}")
        return first, count, b"", min(total, left)

    def data(self, left: int, kind: int, what: str) -> tuple[bytes, int]:
        """Return the data of a short element, and the bytes left."""
        found, count, small, total = self.tag(left)
        if found != kind:
            raise ValueError(f"{what}: type {kind} expected, got {found}")
        if small:
            return small[:count], left - total
        if count > _MAX_TEXT:
            raise ValueError(f"{what}: {count} bytes, at most {_MAX_TEXT} are expected")
        content = self._source.read(count)
        self._source.skip(total - 8 - count)
        return content, left - total

    def matrix(self, size: int, depth: int) -> None:
        """Check the elements of a matrix of ``size`` bytes."""
        if size == 0:
            return
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")
        flags, left = self.data(size, _UINT32, "array flags")
        if len(flags) != 8:
            raise ValueError(f"array flags: 8 bytes expected, got {len(flags)}")
        word = struct.unpack(f"{self._order}I", flags[:4])[0]
        kind = word & 0xFF
        if kind == 17:  # an object of MATLAB, which has no dimensions
            self._source.skip(left)
            return
        raw, left = self.data(left, _INT32, "dimensions")
        dims = struct.unpack(f"{self._order}{len(raw) // 4}i", raw[: len(raw) // 4 * 4])
        if not 2 <= len(dims) <= 32 or min(dims) < 0:
            raise ValueError(f"dimensions {dims[:4]} are not those of an array")
        _, left = self.data(left, _INT8, "name")
        if kind in (_CELL, _STRUCT, _OBJECT):
            left = self._members(left, kind, prod(dims), depth)
        elif kind == _CHAR or kind in _NUMBERS:
            for _ in range(1 + bool(word & _COMPLEX)):
                left = self._numbers(left, prod(dims), kind == _CHAR)
        self._source.skip(left)

    def _members(self, left: int, kind: int, count: int, depth: int) -> int:
        if kind == _OBJECT:
            _, left = self.data(left, _INT8, "name of the class")
        if kind != _CELL:
            raw, left = self.data(left, _INT32, "length of the names of fields")
            length = struct.unpack(f"{self._order}i", raw)[0] if len(raw) == 4 else 0
            if length < 1:
                raise ValueError(f"names of fields have {length} bytes")
            names, left = self.data(left, _INT8, "names of fields")
            if not names and count > 1:
                raise ValueError("a struct array has no fields")
            count *= len(names) // length
        # the tag of a matrix has 8 bytes
        if count > left // 8:
            raise ValueError(f"{count} matrices do not fit into {left} bytes")
        for _ in range(count):
            found, size, _, total = self.tag(left)
            if found != _MATRIX:
                raise ValueError(f"a matrix (type {_MATRIX}) expected, got type {found}")
            self.matrix(size, depth + 1)
            self._source.skip(total - 8 - size)
            left -= total
        return left

    def _numbers(self, left: int, count: int, is_text: bool) -> int:
        kind, size, small, total = self.tag(left)
        if kind not in _BYTES:
            raise ValueError(f"type {kind} is not one of numbers")
        found = size // _BYTES[kind]
        # a character may take several bytes
        if found < count and not is_text or is_text and count > max(size, 1):
            raise ValueError(f"{count} elements declared, {found} found")
        if not small:
            self._source.skip(total - 8)
        return left - total


def check_mat5(path: FilePath, file: BinaryIO, size: int) -> None:
    """Raise FormatError unless the elements of a file fit into each other and into it.

    The content is read once, a part at a time, without being kept.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        For the message.
    file : binary file
        At its beginning.
    size : int
        Its length in bytes.

    Raises
    ------
    FormatError
        If an element does not fit, declares more elements than it has data for, is nested deeper
        than 32 levels, or if compressed content is damaged or expands to more than 64 times the
        file and 64 MiB.
    """
    at, index, expanded = _HEADER, 0, 0
    header = file.read(_HEADER)
    order = "<" if header[126:128] == b"IM" else ">"
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
        source = _Bytes(file, count, limit)
        try:
            _check(source, order, count, limit is not None)
        except (ValueError, EOFError, zlib.error, struct.error) as error:
            raise format_error(path, f"{where}: {error}") from error
        expanded += source.expanded
        at += count
        file.seek(at)
        index += 1


def _check(source: _Bytes, order: str, count: int, compressed: bool) -> None:
    walk = _Walk(source, order)
    if compressed:
        kind, count = struct.unpack(f"{order}II", source.read(8))
        if kind != _MATRIX:
            raise ValueError(f"compressed type {kind} is not that of a variable")
    walk.matrix(count, 0)
    source.finish()
