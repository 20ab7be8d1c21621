"""Opening of untrusted files, and limits for the expansion of compressed content.

All readers open files by `open_regular`, so that they neither wait for a FIFO nor read a device, and
every OSError names its file.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from matconv.files.errors import FilePath, format_error

__all__ = [
    "check_deflate",
    "check_expansion",
    "fill",
    "naming",
    "open_regular",
    "refuse_irregular",
    "shortened",
]

# O_NONBLOCK: opening a FIFO does not wait for a writer.
_FLAGS = os.O_RDONLY
for _name in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)

_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISSOCK, "a socket"),
)

# the shortest deflate code for a match has 2 bits and expands to at most 258 bytes
DEFLATE_RATIO = 258 * 8 // 2

# far above the ratios and sizes of real files of images
USUAL_RATIO = 200
USUAL_BYTES = 64 * 2**20

_CHUNK = 2**20


def shortened(value: object, limit: int = 80) -> str:
    """Return `str(value)`, cut to `limit` characters for a message."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


@contextmanager
def naming(path: FilePath, always: bool = False) -> Iterator[None]:
    """Set the file name of an OSError to `path` if it has none; with ``always`` in any case."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and (always or error.filename is None):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


def refuse_irregular(path: FilePath, mode: int) -> None:
    """Raise OSError unless `mode` (of os.stat) is that of a regular file."""
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "something else")
        raise OSError(errno.EINVAL, f"expected a regular file, got {kind}", os.fspath(path))


@contextmanager
def open_regular(path: FilePath) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular, non-empty file for reading, without waiting.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Yields
    ------
    file : binary file
    size : int
        Its length in bytes.

    Raises
    ------
    OSError
        If the file is missing, cannot be read, or is a directory, FIFO, device or socket. Errors
        in the block get the path too.
    FormatError
        If the file is empty.

    Examples
    --------
    >>> with open_regular(__file__) as (file, size):
    ...     len(file.read()) == size
    True
    """
    path = os.fspath(path)
    descriptor = os.open(path, _FLAGS)
    try:
        with naming(path):
            status = os.fstat(descriptor)
            refuse_irregular(path, status.st_mode)
    except OSError:
        os.close(descriptor)
        raise
    with naming(path), os.fdopen(descriptor, "rb") as file:
        if status.st_size == 0:
            raise format_error(path, "the file is empty (0 bytes)")
        yield file, status.st_size


def fill(stream: Any, array: np.ndarray) -> int:
    """Read bytes into `array` (1-D, uint8) until it is full; return the number of bytes read."""
    buffer = array.data
    done = 0
    while done < len(buffer):
        count = stream.readinto(buffer[done : done + _CHUNK])
        if not count:
            break
        done += count
    return done


def check_deflate(
    path: FilePath, declared: int, compressed: int, what: str = "the content"
) -> None:
    """Raise FormatError if a declared size is larger than deflate can give.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        For the message.
    declared : int
        Declared size in bytes after expansion.
    compressed : int
        Size in bytes of the compressed content.
    what : str, optional
        For the message.

    Raises
    ------
    FormatError
        If `declared` is over 1032 times `compressed`.

    Examples
    --------
    >>> check_deflate("zeros.gz", 10**6, 10**3)
    >>> check_deflate("zeros.gz", 10**7, 10**3)
    Traceback (most recent call last):
        ...
    matconv.files.errors.FormatError: 'zeros.gz': the content declares 10000000 bytes, but 1000 \
compressed bytes hold at most 1032000
    """
    if declared > DEFLATE_RATIO * compressed:
        raise format_error(
            path,
            f"{what} declares {shortened(declared)} bytes, but {compressed} compressed bytes "
            f"hold at most {DEFLATE_RATIO * compressed}",
        )


def check_expansion(
    path: FilePath, declared: int, compressed: int, max_bytes: int | None = None
) -> None:
    """Raise FormatError if compressed content expands beyond a limit.

    Parameters
    ----------
    path, declared, compressed
        As in `check_deflate`.
    max_bytes : int, optional
        The limit. By default the larger of 64 MiB and 200 times `compressed`.

    Raises
    ------
    FormatError
        If `declared` is over `max_bytes`.

    Examples
    --------
    >>> check_expansion("zeros.gz", 10**6, 10**3)
    >>> check_expansion("zeros.gz", 10**6, 10**3, max_bytes=10**5)
    Traceback (most recent call last):
        ...
    matconv.files.errors.FormatError: 'zeros.gz': 1000 bytes expand to 1000000, over the limit of \
100000; give a larger max_bytes if you trust the file
    """
    if max_bytes is None:
        max_bytes = max(USUAL_BYTES, USUAL_RATIO * compressed)
    if declared > max_bytes:
        raise format_error(
            path,
            f"{compressed} bytes expand to {declared}, over the limit of {max_bytes}; give a "
            f"larger max_bytes if you trust the file",
        )
