"""MATLAB files of version 7.3, which are HDF5 files, read by h5py.

The dimensions of arrays are reversed. Cells, and the fields of struct arrays, are arrays of
references to other objects. An empty array is stored as its dimensions, with the attribute
MATLAB_empty.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import shortened

from .extras import need
from .mat_values import Sparse, Unsupported

__all__ = ["read_mat73"]

_MAX_DEPTH = 32
# limit of the rows of a text
_MAX_ROWS = 2**16
# an object takes at least 64 bytes of the file, and few are referred to more than once
_BYTES_OF_OBJECT, _FREE_OBJECTS = 64, 1024
# classes of numbers; files of other programs have none
_NUMBERS = (
    "",
    "double",
    "single",
    "logical",
    *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
)
# limit of what compressed arrays may expand to: a multiple of the file, and bytes
_RATIO, _FREE = 64, 64 * 2**20
# memory of an object, without the numbers and characters in it, and of a row of a text
_OBJECT, _STR = 512, 80


def read_mat73(path: FilePath, file: BinaryIO, size: int, names: list[str]) -> dict[str, Any]:
    """Return some of the variables of a file; see `matconv.io.mat.read_mat`.

    Raises
    ------
    FormatError
        If the file is damaged, its objects contain themselves, are nested deeper than 32 levels or
        are read more often than their references have room in the file, or if its arrays expand
        to more than 64 times the file and 64 MiB.
    ImportError
        If h5py is not installed.
    """
    h5py = need("matlab")
    try:
        with h5py.File(file, "r") as content:
            reader = _Reader(h5py, content, size)
            return {name: reader.member(content, name) for name in names if name in content}
    except MemoryError:
        raise
    except Exception as error:  # h5py documents none of the errors of a damaged file
        text = shortened(str(error) or type(error).__name__, 200)
        raise format_error(path, f"damaged MATLAB file: {text}") from error


class _Reader:
    """Plain objects of a file, with limits for their number and size."""

    def __init__(self, h5py: Any, file: Any, size: int) -> None:
        self._h5py, self._file = h5py, file
        self._objects = size // _BYTES_OF_OBJECT + _FREE_OBJECTS
        self._bytes = _RATIO * size + _FREE
        # places of the objects that are being read
        self._open: list[int] = []

    def member(self, group: Any, name: str) -> Any:
        """Return an object of a group; links to other files are refused."""
        if not isinstance(group.get(name, getlink=True), self._h5py.HardLink):
            raise ValueError(f"{name!r} is a link")  # noqa: TRY004 - content of a file
        return self.value(group[name])

    def value(self, item: Any) -> Any:
        self._objects -= 1
        if self._objects < 0:
            raise ValueError("more references to objects than the file may have")
        self._reserve(_OBJECT, "the objects of the file take")
        place = self._h5py.h5o.get_info(item.id).addr
        if place in self._open:
            raise ValueError(f"{item.name!r} contains itself")
        if len(self._open) >= _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")
        self._open.append(place)
        try:
            return self._group(item) if isinstance(item, self._h5py.Group) else self._data(item)
        finally:
            self._open.pop()

    def _group(self, group: Any) -> Any:
        kind = _class(group)
        if "MATLAB_sparse" in group.attrs:
            return self._sparse(group)
        if kind not in ("", "struct"):
            return Unsupported(kind)
        fields = {}
        arrays = []
        for name in group:
            if not isinstance(group.get(name, getlink=True), self._h5py.HardLink):
                raise ValueError(f"{name!r} is a link")  # noqa: TRY004 - content of a file
            item = group[name]
            # a field of a struct array is an array of references without a class
            many = isinstance(item, self._h5py.Dataset) and _class(item) == ""
            if many and self._is_references(item):
                arrays.append(name)
                fields[name] = self._references(item)
            else:
                fields[name] = self.value(item)
        if not arrays:
            return fields
        counts = {len(fields[name]) for name in arrays}
        if len(arrays) != len(fields) or len(counts) != 1:
            raise ValueError(f"the fields of {group.name!r} do not have the same size")
        return [{name: fields[name][k] for name in arrays} for k in range(counts.pop())]

    def _sparse(self, group: Any) -> Sparse | Unsupported:
        """Return a matrix; the file says its number of rows, and has ir and data unless empty."""
        parts = []
        for name, kinds in (("ir", "iu"), ("jc", "iu"), ("data", "biuf")):
            part = self.member(group, name) if name in group else np.zeros(0, np.int64)
            if not isinstance(part, np.ndarray) or part.dtype.kind not in kinds:
                return Unsupported("complex sparse")
            parts.append(part.ravel())
        rows, ends, values = parts
        shape = (int(group.attrs["MATLAB_sparse"]), len(ends) - 1)
        return Sparse(shape, rows.astype(np.int64), ends.astype(np.int64), values)

    def _reserve(self, count: int, what: str) -> None:
        """Raise ValueError if values, with ``count`` bytes more, take too much for the file."""
        self._bytes -= count
        if self._bytes < 0:
            raise ValueError(f"{what} {count} bytes, too many for the file")

    def _is_references(self, data: Any) -> bool:
        return self._h5py.check_ref_dtype(data.dtype) is self._h5py.Reference

    def _array(self, data: Any) -> np.ndarray:
        if data.external or data.is_virtual:
            raise ValueError(f"the data of {data.name!r} is in another file")
        self._reserve(data.nbytes, f"{data.name!r} has")
        return np.asarray(data[()])

    def _references(self, data: Any) -> list[Any]:
        """Return the objects that an array refers to: the first index of MATLAB is the last one."""
        found = self._array(data).ravel()
        if len(found) > self._objects:
            raise ValueError("more references to objects than the file may have")
        return [self.value(self._file[reference]) for reference in found]

    def _data(self, data: Any) -> Any:
        kind = _class(data)
        if data.attrs.get("MATLAB_empty"):
            return self._empty(data, kind)
        if self._is_references(data):
            return self._references(data)
        if kind == "char":
            return self._text(data)
        if data.dtype.kind not in "biuf" or kind not in _NUMBERS:
            return Unsupported(kind or str(data.dtype))
        array = self._array(data).T
        array = array.reshape(array.shape + (1,) * (2 - array.ndim))
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def _empty(self, data: Any, kind: str) -> Any:
        if kind in ("cell", "struct"):
            return []
        if kind == "char":
            return ""
        shape = [int(n) for n in self._array(data).ravel()[:32]]
        if 0 not in shape:
            raise ValueError(f"{data.name!r} is not empty: {shape}")
        # only that it is empty matters
        return np.empty((0, 0))

    def _text(self, data: Any) -> Any:
        if data.dtype.kind not in "ui":
            return Unsupported("char")
        if not data.size:
            return ""
        # the dimensions are reversed
        if data.shape[-1] > _MAX_ROWS:
            return Unsupported("char")
        codes = np.atleast_2d(self._array(data)).T
        self._reserve(_STR * len(codes) + 4 * codes.size, f"{data.name!r} has")
        rows = [_decoded(row) for row in codes]
        return rows[0] if len(rows) == 1 else rows


def _decoded(codes: np.ndarray) -> str:
    """Return the text of UTF-16 codes."""
    return codes.astype("<u2").tobytes().decode("utf-16-le", "replace")


def _class(item: Any) -> str:
    """Return the attribute MATLAB_class as a text; empty if it is missing."""
    found = item.attrs.get("MATLAB_class", b"")
    return found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)
