"""MATLAB files: variables of .mat files, version 5 and version 7.3, as plain Python objects.

struct            dict of its fields; a list of dicts if it does not have exactly one element
cell              list, in MATLAB's order (first index fastest)
char              str; a list of str if there are several rows
numbers, logical  ndarray with at least 2 dimensions, indexed as in MATLAB
sparse            Sparse
anything else     Unsupported
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import open_regular

from .mat5 import read_mat5
from .mat73 import read_mat73
from .mat_values import Sparse, Unsupported

__all__ = [
    "HDF5",
    "MAT5",
    "Sparse",
    "Unsupported",
    "cell",
    "mat_version",
    "read_mat",
    "save_mat",
    "struct_array",
]

MAT5, HDF5 = "5", "7.3"
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# places of the signature in the files of MATLAB, which have a text before it, and of others
_PLACES = (0, 512)
_START = 520
# the first 116 bytes of files that are written
_TEXT = b"MATLAB 5.0 MAT-file, written by matconv".ljust(116)


def mat_version(start: bytes) -> str | None:
    """Return the version of a MATLAB file with these first bytes: "5", "7.3", or None.

    Examples
    --------
    >>> mat_version(b"MATLAB 5.0 MAT-file".ljust(124) + b"\\0\\1IM"), mat_version(b"PK")
    ('5', None)
    """
    if any(start[place:].startswith(_SIGNATURE) for place in _PLACES):
        return HDF5
    return MAT5 if start[124:128] in (b"\0\1IM", b"\1\0MI") else None


def read_mat(path: FilePath, names: Iterable[str]) -> dict[str, Any]:
    """Return some of the variables of a MATLAB file.

    A file of version 5 is read here: everything that it declares is checked before memory is
    allocated. It has no checksum unless it is compressed, so that damage may make another value of
    the same size. Version 7.3 is read by h5py (the extra ``matlab``): references, links and sizes
    are checked, but HDF5 itself does not promise that a malicious file is harmless.

    Parameters
    ----------
    path : str, bytes or os.PathLike
    names : iterable of str
        Names of variables.

    Returns
    -------
    variables : dict
        Those that the file has.

    Raises
    ------
    FormatError
        If it is not such a file, or is damaged.
    OSError
        If it cannot be read.
    ImportError
        If it has version 7.3 and h5py is not installed.
    """
    names = list(names)
    with open_regular(path) as (file, size):
        version = mat_version(file.read(_START))
        file.seek(0)
        if version is None:
            raise format_error(path, "expected a MATLAB file of version 5 or 7.3")
        if version == HDF5:
            return read_mat73(path, file, size, names)
        return read_mat5(path, file, size, names)


def cell(values: Iterable[Any]) -> np.ndarray:
    """Return a cell, 1 x n, for `save_mat`."""
    values = list(values)
    array = np.empty((1, len(values)) if values else (0, 0), object)
    for k, value in enumerate(values):
        array[0, k] = value
    return array


def struct_array(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> np.ndarray:
    """Return a struct array, 1 x n, for `save_mat`: fields, and the values of each element."""
    rows = list(rows)
    array = np.empty((1, len(rows)), [(name, object) for name in names])
    for k, row in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            array[name][0, k] = value
    return array


def save_mat(file: BinaryIO, variables: dict[str, Any]) -> None:
    """Write variables to a MATLAB file of version 5. Equal variables give equal bytes.

    Parameters
    ----------
    file : binary file
    variables : dict
        A dict is a struct, an ndarray of a structured dtype a struct array, one of objects a cell.

    Raises
    ------
    ValueError
        If a variable has more than 4 GiB, the limit of the format.
    """
    import scipy.io
    from scipy.io.matlab import MatWriteError

    try:
        scipy.io.savemat(file, variables, long_field_names=True, oned_as="row")
    except MatWriteError as error:
        raise ValueError(f"the MATLAB format cannot hold the variables: {error}") from error
    # SciPy writes the time there
    file.seek(0)
    file.write(_TEXT)
    file.seek(0, 2)
