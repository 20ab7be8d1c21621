"""Data of simpleNN: images and labels in a MATLAB file or in LIBSVM's text form."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import prod
from typing import Any, BinaryIO

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import open_regular, shortened
from matconv.io.mat import Sparse, mat_version, read_mat
from matconv.kernels._geometry import as_size

__all__ = ["ORDERS", "as_labels", "dense_rows", "pictures", "read_simplenn_data"]

ORDERS = ("column", "row")
_START = 520
# limit of the array of images: a multiple of a text file, and bytes
_RATIO, _FREE = 64, 64 * 2**20
_MAX_LINE = 2**26


def read_simplenn_data(
    path: FilePath, shape: Sequence[int], order: str = "column"
) -> tuple[np.ndarray, np.ndarray]:
    """Read images and labels as simpleNN has them.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        A .mat file with Z, of shape (l, height width channels), and y; Z may be sparse, and then
        lack last columns, which are 0; or a text file of LIBSVM,
        with a line ``label index:value ...`` for each image, whose indices begin at 1.
    shape : (height, width, channels)
        Shape of an image.
    order : "column" or "row"
        Whether the pixels of a channel are stored by columns, as simpleNN takes them, or by rows.

    Returns
    -------
    Z : ndarray, (l, height, width, channels)
        Pictures, for a model of `load_simplenn`; float64 or float32.
    y : ndarray of int64, (l,)

    Raises
    ------
    FormatError
        If the content of the file is invalid or does not fit the shape.
    OSError
        If the file cannot be read.
    """
    if order not in ORDERS:
        raise ValueError(f"read_simplenn_data: order must be 'column' or 'row', got {order!r}")
    sizes = tuple(as_size("read_simplenn_data", "shape", n) for n in shape)
    if len(sizes) != 3 or min(sizes) < 1:
        raise ValueError(f"read_simplenn_data: shape must be three sizes, got {shape!r}")
    with open_regular(path) as (file, size):
        version = mat_version(file.read(_START))
        file.seek(0)
        if version is None:
            rows, classes = _read_libsvm(path, file, size, prod(sizes))
            return pictures(rows, sizes, order), classes
    variables = read_mat(path, ("Z", "y"))
    Z, y = dense_rows(path, variables.get("Z"), prod(sizes)), variables.get("y")
    if not isinstance(Z, np.ndarray) or not isinstance(y, np.ndarray):
        raise format_error(path, "Z and y must be arrays of numbers")
    if Z.ndim != 2 or Z.shape[1] != prod(sizes):
        raise format_error(
            path, f"Z must have the shape (l, {prod(sizes)}) for images {sizes}, got {Z.shape}"
        )
    labels = y.ravel(order="F")
    if labels.size != len(Z):
        raise format_error(path, f"{len(Z)} images in Z, but {labels.size} labels in y")
    if Z.dtype not in (np.float32, np.float64):
        Z = Z.astype(np.float64)
    return pictures(Z, sizes, order), as_labels(path, labels)


def dense_rows(path: FilePath, Z: Any, columns: int) -> Any:
    """Return a sparse matrix as an array with at least some number of columns; others as they are.

    Raises
    ------
    FormatError
        If the array would take more than 64 times the file and 64 MiB.
    """
    if not isinstance(Z, Sparse):
        return Z
    if 8 * Z.shape[0] * max(columns, Z.shape[1]) > _RATIO * os.stat(path).st_size + _FREE:
        raise format_error(path, f"the images would take more than {_RATIO} times the file")
    return Z.dense(columns)


def pictures(Z: np.ndarray, shape: tuple[int, ...], order: str) -> np.ndarray:
    """Return images (l, height, width, channels) of rows with all pixels of a channel in turn."""
    height, width, channels = shape
    if order == "row":
        images = Z.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    else:
        images = Z.reshape(-1, channels, width, height).transpose(0, 3, 2, 1)
    return np.ascontiguousarray(images)


def as_labels(path: FilePath, y: np.ndarray) -> np.ndarray:
    """Return labels as int64.

    Raises
    ------
    FormatError
        If one of them is not an integer, or float64 does not have all integers around it.
    """
    if y.dtype.kind == "f":
        bad = np.flatnonzero(~(np.abs(y) < 2**53) | (y != np.floor(y)))
    else:
        bad = np.flatnonzero(y > np.iinfo(np.int64).max)
    if bad.size:
        raise format_error(
            path,
            f"the labels must be integers between -2^53 and 2^53, number {bad[0] + 1} is "
            f"{y[bad[0]]:g}",
        )
    return y.astype(np.int64)


def _read_libsvm(
    path: FilePath, file: BinaryIO, size: int, features: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (images, labels) of a text; its size limits that of the images."""
    limit = (_RATIO * size + _FREE) // (8 * features)
    rows: list[np.ndarray] = []
    labels: list[int] = []
    for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE), b""), 1):
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        if len(rows) >= limit:
            raise format_error(path, f"the images would take more than {_RATIO} times the file")
        try:
            label = float(words[0])
            if not abs(label) < 2**53 or label != int(label):
                raise ValueError(f"label {label:g} is not an integer between -2^53 and 2^53")
            rows.append(_row(words[1:], features))
            labels.append(int(label))
        except (ValueError, OverflowError) as error:
            raise format_error(path, f"line {number}: {shortened(error, 200)}") from error
    if not rows:
        raise format_error(path, "there are no images")
    return np.stack(rows), np.array(labels, np.int64)


def _row(words: list[bytes], features: int) -> np.ndarray:
    """Return an image of the pairs index:value, whose indices increase from 1."""
    row = np.zeros(features)
    pairs = [word.split(b":") for word in words]
    if not all(len(pair) == 2 for pair in pairs):
        raise ValueError("expected pairs index:value")
    indices = np.array([int(pair[0]) for pair in pairs], np.int64)
    values = np.array([float(pair[1]) for pair in pairs])
    if indices.size and (indices[0] < 1 or indices[-1] > features or (np.diff(indices) < 1).any()):
        raise ValueError(f"the indices must increase from 1 to at most {features}")
    row[indices - 1] = values
    return row
