"""The format of a data file, recognised by its content, not by its name."""

from __future__ import annotations

import gzip
import zlib

from matconv.files.errors import FilePath
from matconv.files.regular import open_regular

__all__ = ["file_kind"]

_GZIP = b"\x1f\x8b"
# archives with members, without members, and in several parts
_ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\10")
_NPY = b"\x93NUMPY"
_IDX = b"\0\0"


def file_kind(path: FilePath) -> str:
    """Return the format of a file, recognised by its first bytes.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Returns
    -------
    {"npz", "idx", "npy", "unknown"}
        "idx" also for a file that is compressed by gzip; "npz" for every zip archive.

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
        start = file.read(8)
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
    return "npy" if start.startswith(_NPY) else "unknown"
