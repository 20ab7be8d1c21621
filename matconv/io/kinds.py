"""The format of a data file, recognised by its content, not by its name."""

from __future__ import annotations

import gzip
import re
import zlib

from matconv.encoding import MAGIC
from matconv.files.errors import FilePath
from matconv.files.regular import open_regular
from matconv.io.mat import mat_version

__all__ = ["file_kind"]

_GZIP = b"\x1f\x8b"
# archives with members, without members, and in several parts
_ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\10")
_NPY = b"\x93NUMPY"
# two zeros and the code of a type
_IDX = tuple(bytes([0, 0, code]) for code in (8, 9, 11, 12, 13, 14))
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
# LIBSVM: empty lines, comments and labels without features, then a label and a first feature
_LIBSVM = re.compile(
    rb"(?:[ \t]*(?:[-+\d][-+.\deE]*[ \t]*)?(?:#[^\n]*)?\r?\n)*[ \t]*[-+\d][-+.\deE]*[ \t]+\d+:"
)
# bytes that show the format, those of a MATLAB file included
_START = 520


def file_kind(path: FilePath) -> str:
    """Return the format of a file, recognised by its first bytes.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Returns
    -------
    {"npz", "idx", "npy", "mat", "picture", "exported", "libsvm", "unknown"}
        "idx" also for a file that is compressed by gzip; "npz" for every zip archive; "mat" for
        both versions of MATLAB's files; "picture" for PNG and JPEG; "exported" for a network that
        `matconv.Network.export` wrote; "libsvm" for a text of LIBSVM.

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
    with open_regular(path) as (file, _):
        start = file.read(_START)
        if start.startswith(_GZIP):
            file.seek(0)
            try:
                start = gzip.GzipFile(fileobj=file).read(8)
            except (gzip.BadGzipFile, EOFError, zlib.error):
                # the reader of IDX files raises a precise error
                return "idx"
    if start.startswith(_ZIP):
        return "npz"
    if start.startswith(_IDX):
        return "idx"
    if mat_version(start) is not None:
        return "mat"
    starts = {"npy": (_NPY,), "picture": _PICTURES, "exported": (MAGIC,)}
    usual = "libsvm" if _LIBSVM.match(start) else "unknown"
    return next((kind for kind, first in starts.items() if start.startswith(first)), usual)
