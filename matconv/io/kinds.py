"""The format of a data file, recognised by its content, not by its name."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from matconv.encoding import MAGIC
from matconv.files.errors import FilePath, FormatError, format_error
from matconv.files.regular import open_regular
from matconv.io.cifar import cifar_labels
from matconv.io.mat import HDF5, MAT5, mat_version

__all__ = ["KINDS", "Kind", "file_kind", "unexpected"]

_GZIP = b"\x1f\x8b"
# LIBSVM: empty lines, comments and labels without features, then a label and a first feature
_LIBSVM = re.compile(
    rb"(?:[ \t]*(?:[-+\d][-+.\deE]*[ \t]*)?(?:#[^\n]*)?\r?\n)*[ \t]*[-+\d][-+.\deE]*[ \t]+\d+:"
)
# bytes that show the format, those of a MATLAB file included
_START = 520


@dataclass(frozen=True)
class Kind:
    """A format of files.

    Attributes
    ----------
    article, name : str
        For messages.
    recognise : callable
        Called with the first bytes of a file and its size; returns whether it has the format.
    """

    article: str
    name: str
    recognise: Callable[[bytes, int], bool]

    @property
    def title(self) -> str:
        """The name with its article."""
        return f"{self.article} {self.name}"


def _begins(*starts: bytes) -> Callable[[bytes, int], bool]:
    return lambda start, size: start.startswith(starts)


# in the order in which they are tried
KINDS = {
    # archives with members, without members, and in several parts
    "npz": Kind("an", ".npz file", _begins(b"PK\3\4", b"PK\5\6", b"PK\7\10")),
    # two zeros and the code of a type
    "idx": Kind(
        "an", "IDX file", _begins(*(bytes([0, 0, code]) for code in (8, 9, 11, 12, 13, 14)))
    ),
    "mat": Kind("a", "MATLAB file", lambda start, size: mat_version(start) == MAT5),
    "mat73": Kind("a", "MATLAB file", lambda start, size: mat_version(start) == HDF5),
    "npy": Kind("an", ".npy file", _begins(b"\x93NUMPY")),
    "picture": Kind("a", "picture", _begins(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")),
    "exported": Kind("an", "exported network", _begins(MAGIC)),
    "libsvm": Kind("a", "LIBSVM file", lambda start, size: _LIBSVM.match(start) is not None),
    # without a header: the size tells
    "cifar": Kind("a", "file of CIFAR", lambda start, size: cifar_labels(size) is not None),
}


def file_kind(path: FilePath) -> str:
    """Return the format of a file, recognised by its first bytes.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Returns
    -------
    str
        A key of `KINDS`, or "unknown". "idx" also for a file that is compressed by gzip; "npz" for
        every zip archive; "mat" and "mat73" for MATLAB's files of version 5 and 7.3; "picture" for PNG and JPEG;
        "exported" for a network that `matconv.Network.export` wrote; "libsvm" for a text of LIBSVM;
        "cifar" for a file of no other format whose size is that of CIFAR's images.

    Raises
    ------
    OSError
        If the file cannot be read or is not a regular file.
    FormatError
        If the file is empty.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "images.dat")
    ...     with open(path, "wb") as file:
    ...         np.savez(file, Z=np.zeros((2, 3, 3)), y=[0, 1])
    ...     file_kind(path)
    'npz'
    """
    with open_regular(path) as (file, size):
        start = file.read(_START)
        if start.startswith(_GZIP):
            file.seek(0)
            try:
                start = gzip.GzipFile(fileobj=file).read(8)
            except (gzip.BadGzipFile, EOFError, zlib.error):
                # the reader of IDX files raises a precise error
                return "idx"
    return next((name for name, kind in KINDS.items() if kind.recognise(start, size)), "unknown")


def unexpected(path: FilePath, kind: str, expected: str) -> FormatError:
    """Return an error for a file of another format than the one that is expected.

    Parameters
    ----------
    path : str, bytes or os.PathLike
    kind : str
        Result of `file_kind`.
    expected : str
        Text for the message.
    """
    got = f", got {KINDS[kind].title}" if kind in KINDS else ""
    return format_error(path, f"expected {expected}{got}")
