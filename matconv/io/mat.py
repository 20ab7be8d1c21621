"""MATLAB files: variables of .mat files, version 5 and version 7.3, as plain Python objects.

struct            dict of its fields; a list of dicts if it does not have exactly one element
cell              list, in MATLAB's order (first index fastest)
char              str; a list of str if there are several rows
numbers, logical  ndarray with at least 2 dimensions, indexed as in MATLAB
anything else     Unsupported
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import open_regular, shortened

from .mat5 import check_mat5

__all__ = [
    "HDF5",
    "MAT5",
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


class Unsupported:
    """A value of a MATLAB class that is not read.

    Attributes
    ----------
    kind : str
        Name of the class.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


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

    The file is read by `scipy.io.loadmat`, or for version 7.3 by h5py (the extra ``matlab``). Before
    SciPy reads a file, the sizes and the nesting that it declares are checked; damage that this does
    not show is found by SciPy, or makes another value of the same size. Neither SciPy nor HDF5
    promises that a malicious file is harmless.

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
            from .mat73 import read_mat73

            return read_mat73(path, file, size, names)
        check_mat5(path, file, size)
        file.seek(0)
        return _read_mat5(path, file, names)


def _read_mat5(path: FilePath, file: Any, names: list[str]) -> dict[str, Any]:
    import scipy.io

    try:
        with warnings.catch_warnings():
            # a class without a NumPy equivalent, a variable that occurs twice
            warnings.simplefilter("ignore")
            # class double, not the smaller integers that its values are stored as
            content = scipy.io.loadmat(file, variable_names=names, mat_dtype=True)
        return {name: _plain(content[name]) for name in names if name in content}
    except (OSError, MemoryError):
        raise
    except Exception as error:  # SciPy documents none of the errors of a damaged file
        text = shortened(str(error) or type(error).__name__, 200)
        raise format_error(path, f"damaged MATLAB file: {text}") from error


def _plain(value: Any) -> Any:
    """Return the plain object of a value that SciPy has read."""
    if not isinstance(value, np.ndarray) or type(value) is not np.ndarray:
        # objects, functions and sparse matrices have classes of their own
        return Unsupported(str(getattr(value, "classname", "") or type(value).__name__))
    if value.dtype.names is not None:
        items = [
            {name: _plain(one[name]) for name in value.dtype.names} for one in value.ravel("F")
        ]
        return items[0] if len(items) == 1 else items
    if value.dtype == object:
        return [_plain(one) for one in value.ravel("F")]
    if value.dtype.kind == "U":
        rows = [str(row) for row in value.ravel()]
        return "" if not rows else rows[0] if len(rows) == 1 else rows
    if value.dtype.kind not in "biuf":
        return Unsupported(str(value.dtype))
    return value.astype(value.dtype.newbyteorder("="), copy=False)


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
