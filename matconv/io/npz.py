"""Reader of named arrays in an untrusted .npz file (a zip archive of .npy members).

Every declared size is checked before memory of that size is allocated: those of the end record and
of the directory against the file, those of members against the directory, and the shape of each
array against its member. Nothing is unpickled.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, BinaryIO

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import (
    check_deflate,
    check_expansion,
    fill,
    open_regular,
    shortened,
)
from matconv.io.npy import ArrayHeader, BadHeader, read_header

__all__ = ["Arrays", "open_npz", "read_images_npz", "read_npz"]

_LOCAL_MAGIC = b"PK\3\4"
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
# zipfile needs 20 times as much memory for the directory, whose entries have about 60 bytes each
_MAX_DIRECTORY = 2**20
# bits 1 and 2 (compression level), 3 (sizes follow the data) and 11 (UTF-8 names)
_HARMLESS_FLAGS = 0b1000_0000_1110
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENTRY = struct.Struct("<28x3H12x")
_UNICODE_PATH = 0x7075


def _check_directory(path: FilePath, file: BinaryIO, size: int) -> int:
    """Check the zip directory at the end of the file; return its position, where the members end.

    It must be small and without a comment or other data after it, because zipfile searches for it
    and reads all of it.
    """
    if file.read(4) != _LOCAL_MAGIC:
        raise format_error(path, "not an .npz file: it does not start as a zip archive")
    end = size - _END.size
    if end < 0:
        raise format_error(path, f"truncated: {size} bytes are too few for a zip archive")
    file.seek(end)
    fields = _END.unpack(file.read(_END.size))
    if fields[0] != b"PK\5\6" or fields[7] != 0:
        raise format_error(path, "truncated, or followed by other data: no zip end record")
    count, length, start = fields[4:7]
    file.seek(max(0, end - _END64_LOCATOR.size))
    locator = file.read(_END64_LOCATOR.size)
    if locator.startswith(b"PK\6\7"):
        end -= _END64_LOCATOR.size + _END64.size
        if _END64_LOCATOR.unpack(locator)[2] != end:
            raise format_error(path, "damaged: the zip64 end record is not in its place")
        file.seek(end)
        fields = _END64.unpack(file.read(_END64.size))
        if fields[0] != b"PK\6\6":
            raise format_error(path, "damaged: there is no zip64 end record in its place")
        count, length, start = fields[7:10]
    if start + length != end:
        raise format_error(
            path,
            f"damaged: a zip directory of {length} bytes at {start} does not end at {end}",
        )
    if length > _MAX_DIRECTORY:
        raise format_error(
            path, f"a zip directory of {length} bytes, expected at most {_MAX_DIRECTORY}"
        )
    file.seek(start)
    entries = _count_entries(path, file.read(length))
    if entries != count:
        raise format_error(path, f"a zip directory of {entries} entries, but {count} are declared")
    file.seek(0)
    return start


def _count_entries(path: FilePath, directory: bytes) -> int:
    """Return the number of entries; raise FormatError for one with a second name.

    zipfile uses the second name, which is in an extra field, in place of the first.
    """
    count = position = 0
    while position < len(directory):
        fixed = directory[position : position + _ENTRY.size]
        if len(fixed) < _ENTRY.size or not fixed.startswith(b"PK\1\2"):
            raise format_error(path, f"damaged: entry {count} of the zip directory is invalid")
        name, extra, comment = _ENTRY.unpack(fixed)
        field = position + _ENTRY.size + name
        position = field + extra + comment
        if position > len(directory):
            raise format_error(path, f"damaged: entry {count} goes beyond the zip directory")
        while field + 4 <= position - comment:
            kind, length = struct.unpack_from("<2H", directory, field)
            if kind == _UNICODE_PATH:
                raise format_error(path, f"entry {count} of the zip directory has a second name")
            field += 4 + length
        count += 1
    return count


def _check_name(path: FilePath, info: zipfile.ZipInfo) -> None:
    """Raise FormatError unless the name of a member is a plain file name."""
    name = info.orig_filename
    if not name or not name.isprintable() or set(name) & set("/\\:") or ".." in name:
        raise format_error(path, f"a member has the unsafe name {shortened(repr(name))}")


def _check_member(path: FilePath, info: zipfile.ZipInfo, end: int) -> None:
    """Raise FormatError for a member that zipfile cannot read, or that goes beyond ``end``."""
    _check_name(path, info)
    where = f"member {shortened(repr(info.filename))}"
    if info.flag_bits & 0x41:
        raise format_error(path, f"{where} is encrypted")
    if info.flag_bits & ~_HARMLESS_FLAGS:
        raise format_error(path, f"{where} has unknown zip flags {info.flag_bits:#06x}")
    if info.compress_type not in _METHODS:
        raise format_error(
            path, f"{where} is compressed by method {info.compress_type}, expected 0 or 8"
        )
    if info.header_offset + 30 + info.compress_size > end:
        raise format_error(
            path,
            f"{where} of {info.compress_size} bytes at {info.header_offset} goes beyond the "
            f"members' end at {end}",
        )
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise format_error(
            path, f"{where} is stored in {info.compress_size} bytes, but declares {info.file_size}"
        )
    check_deflate(path, info.file_size, info.compress_size, where)


@contextmanager
def _zip_errors(path: FilePath, where: str) -> Iterator[None]:
    """Convert errors of zipfile, zlib and numpy about bad content to FormatError."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        UnicodeDecodeError,
        BadHeader,
    ) as error:
        problem = str(error) or "the data ends too early"
        raise format_error(path, f"{where}: {shortened(problem, 200)}") from error


class Arrays:
    """Arrays of an open .npz file; made by `open_npz`.

    Attributes
    ----------
    headers : dict of str to ArrayHeader
        Shape and type of each array by name, checked against the sizes in the file.
    """

    def __init__(
        self, path: FilePath, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]
    ) -> None:
        self._path = path
        self._archive = archive
        self._members = members
        self.headers = {name: self._header(name) for name in members}

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        where = f"array {shortened(repr(name))}"
        with _zip_errors(self._path, where), self._archive.open(self._members[name]) as stream:
            yield stream

    def _header(self, name: str) -> ArrayHeader:
        with self._open(name) as stream:
            header = read_header(stream)
            size = self._members[name].file_size
            if header.start + header.nbytes != size:
                raise BadHeader(
                    f"the shape {shortened(header.shape)} of {header.dtype} takes "
                    f"{shortened(header.nbytes)} bytes, the file has {size - header.start}"
                )
        return header

    def stored(self, name: str) -> bool:
        """Return whether an array is stored without compression."""
        return self._members[name].compress_type == zipfile.ZIP_STORED

    def read(self, name: str) -> np.ndarray:
        """Return an array, C-contiguous and in native byte order.

        Raises
        ------
        FormatError
            If its data is damaged (a wrong checksum, a bad deflate stream).
        """
        header = self.headers[name]
        content = np.empty(header.nbytes, np.uint8)
        with self._open(name) as stream:
            fill(stream, np.empty(header.start, np.uint8))
            count = fill(stream, content)
            if count < content.size:
                raise BadHeader(f"truncated: expected {content.size} bytes, got {count}")
            if header.dtype.kind == "b" and content.size and content.max() > 1:
                raise BadHeader(f"booleans are 0 or 1, got {content.max()}")
        array = content.view(header.dtype)
        if not array.dtype.isnative:
            array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
        if header.fortran_order:
            return np.ascontiguousarray(array.reshape(header.shape[::-1]).T).reshape(header.shape)
        return array.reshape(header.shape)


@contextmanager
def open_npz(path: FilePath, max_bytes: int | None = None) -> Iterator[Arrays]:
    """Open an .npz file of plain numeric arrays; check everything except their data.

    Parameters
    ----------
    path : str, bytes or os.PathLike
    max_bytes : int, optional
        Maximum expanded size of all compressed members together; by default the larger of 64 MiB
        and 200 times the length of the file.

    Yields
    ------
    Arrays

    Raises
    ------
    FormatError
        If the file is not a zip archive or is truncated; if it has duplicate or unsafe names,
        encrypted members, or a member that declares a larger size than it can have; if the elements
        of an array are not numbers, or its shape does not fit the size of its member.
    OSError
        If the file cannot be read or is not a regular file.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "some.npz")
    ...     np.savez(path, S=np.ones((2, 3)))
    ...     with open_npz(path) as arrays:
    ...         arrays.headers["S"].shape, arrays.read("S")[1]
    ((2, 3), array([1., 1., 1.]))
    """
    with open_regular(path) as (file, size):
        end = _check_directory(path, file, size)
        with _zip_errors(path, "zip directory"):
            archive = zipfile.ZipFile(file)
        with archive:
            infos = archive.infolist()
            members: dict[str, zipfile.ZipInfo] = {}
            for info in infos:
                _check_member(path, info, end)
                name = info.filename.removesuffix(".npy")
                if name in members:
                    raise format_error(path, f"duplicate array {shortened(repr(name))}")
                members[name] = info
            # members that overlap would expand the same bytes several times
            packed = sum(info.compress_size for info in infos)
            if packed > end:
                raise format_error(path, f"members of {packed} bytes overlap within {end}")
            check_expansion(path, sum(info.file_size for info in infos), size, max_bytes)
            yield Arrays(path, archive, members)


def check_names(arrays: Arrays, names: Sequence[str]) -> list[str]:
    """Return texts about missing and unexpected arrays."""
    missing = [name for name in names if name not in arrays.headers]
    extra = [name for name in arrays.headers if name not in names]
    problems = []
    if missing:
        problems.append(f"missing {', '.join(map(repr, missing))}")
    if extra:
        problems.append(f"unexpected {shortened(', '.join(map(repr, extra)))}")
    return problems


def read_npz(
    path: FilePath, names: Sequence[str], max_bytes: int | None = None
) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file; their names must be those given.

    Parameters
    ----------
    path : str, bytes or os.PathLike
    names : sequence of str
    max_bytes : int, optional
        As in `open_npz`.

    Returns
    -------
    dict of str to ndarray
        C-contiguous arrays in native byte order, of the type in the file: booleans, integers,
        floats or complex numbers.

    Raises
    ------
    FormatError
        As in `open_npz`; also if arrays are missing or unexpected (one message names all of them),
        or the data of an array is damaged.
    OSError
        If the file cannot be read or is not a regular file.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "some.npz")
    ...     np.savez_compressed(path, W=np.eye(2), b=np.arange(2))
    ...     read_npz(path, ["W", "b"])["b"]
    array([0, 1])
    """
    with open_npz(path, max_bytes) as arrays:
        problems = check_names(arrays, names)
        if problems:
            raise format_error(path, "; ".join(problems))
        return {name: arrays.read(name) for name in names}


def read_images_npz(path: FilePath, max_bytes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read images `Z` and their labels `y` from an .npz file.

    Parameters
    ----------
    path : str, bytes or os.PathLike
    max_bytes : int, optional
        As in `open_npz`.

    Returns
    -------
    Z : ndarray, (l, height, width, channels)
        C-contiguous, of the real type in the file. An array with three dimensions is read as
        images with one channel.
    y : ndarray, (l,), int64

    Raises
    ------
    FormatError
        As in `read_npz`; also if `Z` or `y` has another shape or type, or their lengths differ.
    OSError
        If the file cannot be read or is not a regular file.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "images.npz")
    ...     np.savez(path, Z=np.zeros((5, 8, 6)), y=[0, 1, 2, 0, 1])
    ...     Z, y = read_images_npz(path)
    >>> Z.shape, y
    ((5, 8, 6, 1), array([0, 1, 2, 0, 1]))
    """
    with open_npz(path, max_bytes) as arrays:
        problems = check_names(arrays, ("Z", "y"))
        Z, y = arrays.headers.get("Z"), arrays.headers.get("y")
        if Z and (len(Z.shape) not in (3, 4) or Z.dtype.kind == "c"):
            problems.append(
                f"'Z' must be real, of shape (l, height, width[, channels]), got "
                f"{Z.dtype} {Z.shape}"
            )
        if y and (len(y.shape) != 1 or y.dtype.kind not in "iu"):
            problems.append(f"'y' must be integers of shape (l,), got {y.dtype} {y.shape}")
        if not problems and Z and y and Z.shape[0] != y.shape[0]:
            problems.append(f"{Z.shape[0]} images in 'Z', but {y.shape[0]} labels in 'y'")
        if problems:
            raise format_error(path, "; ".join(problems))
        images, labels = arrays.read("Z"), arrays.read("y")
    if labels.dtype == np.uint64 and labels.size and labels.max() > np.iinfo(np.int64).max:
        raise format_error(path, f"'y': the label {labels.max()} is over the largest int64")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    return images, labels.astype(np.int64)
