"""Images in files with one or a few arrays: .npy, and X or Z with y in MATLAB files."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import fill, open_regular
from matconv.io.mat import read_mat
from matconv.io.npy import BadHeader, read_header
from matconv.io.simplenn.data import as_labels, dense_rows, pictures

__all__ = ["read_images_mat", "read_npy"]


def read_npy(path: FilePath) -> np.ndarray:
    """Read an .npy file of real numbers, without pickle.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Returns
    -------
    ndarray
        C-contiguous, in native byte order.

    Raises
    ------
    FormatError
        If the file is not such a file, or its size is not that of its array.
    OSError
        If the file cannot be read.
    """
    with open_regular(path) as (file, size):
        try:
            header = read_header(file)
        except BadHeader as error:
            raise format_error(path, str(error)) from error
        if header.start + header.nbytes != size:
            raise format_error(
                path,
                f"{header.shape} of {header.dtype} make {header.start + header.nbytes} bytes, the "
                f"file has {size}",
            )
        if header.dtype.kind == "c":
            raise format_error(path, f"expected real numbers, got {header.dtype}")
        content = np.empty(header.nbytes, np.uint8)
        if fill(file, content) != header.nbytes:
            raise format_error(path, "the file became shorter while it was read")
    array: np.ndarray = content.view(header.dtype)
    if header.fortran_order:
        array = array.reshape(header.shape[::-1]).T
    else:
        array = array.reshape(header.shape)
    native = array.dtype.newbyteorder("=")
    return np.ascontiguousarray(array.astype(native, copy=False))


def read_images_mat(
    path: FilePath, shape: Sequence[int] | None = None, order: str = "column"
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images, and labels if there are some, of a MATLAB file.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        With X or Z: (height, width, channels, l) as in MATLAB's files of images,
        (l, height, width, channels), or (l, height width channels) as simpleNN has them; and y.
    shape : (height, width, channels), optional
        Shape of an image; needed for the last of these.
    order : "column" or "row"
        Whether the last of these has the pixels of a channel by columns or by rows.

    Returns
    -------
    Z : ndarray, (l, height, width, channels)
    y : ndarray of int64, (l,), or None

    Raises
    ------
    FormatError
        If the file does not have such images.
    OSError
        If the file cannot be read.
    """
    variables = read_mat(path, ("X", "Z", "y"))
    images = dense_rows(path, variables.get("X", variables.get("Z")), prod(shape or (1,)))
    y = variables.get("y")
    if not isinstance(images, np.ndarray):
        raise format_error(path, "there is no array X or Z of images")
    if y is not None and not isinstance(y, np.ndarray):
        raise format_error(path, "the labels y must be an array of numbers")
    labels = None if y is None else y.ravel(order="F")
    found = _four(images, None if labels is None else labels.size, shape, order)
    if found is None and images.ndim == 2 and shape is None:
        raise format_error(
            path,
            f"X or Z has a row for each image, {images.shape}: input_shape is needed "
            "(--input-shape of `matconv train`)",
        )
    if found is None:
        text = "" if shape is None else f", or (l, {prod(shape)}) by columns"
        raise format_error(
            path,
            f"X or Z must have the shape (height, width, channels, l) or (l, height, width, "
            f"channels){text}, got {images.shape}",
        )
    if labels is None:
        return found, None
    if labels.size != len(found):
        raise format_error(path, f"{len(found)} images, but {labels.size} labels in y")
    return found, as_labels(path, labels)


def _with_last(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return images with the dimension of 1 that MATLAB leaves out or a reader has not seen.

    (height, width, channels) is one image, (height, width, l) and (l, height, width) are l gray ones.
    """
    if images.shape == shape:
        return images[..., np.newaxis]
    if shape[2] == 1 and images.shape[:2] == shape[:2]:
        return images[:, :, np.newaxis]
    return images[..., np.newaxis] if images.shape[1:] + (1,) == shape else images


def _four(
    images: np.ndarray, count: int | None, shape: Sequence[int] | None, order: str
) -> np.ndarray | None:
    """Return images as (l, height, width, channels); None if they have no such shape."""
    if images.ndim == 2 and shape is not None and images.shape[1] == prod(shape):
        return pictures(images, tuple(shape), order)
    if images.ndim == 3 and shape is not None:
        images = _with_last(images, tuple(shape))
    if images.ndim != 4:
        return None
    last = tuple(shape) == images.shape[:3] if shape is not None else count == images.shape[3]
    first = tuple(shape) == images.shape[1:] if shape is not None else count == images.shape[0]
    if not first and not last and count is not None:
        first, last = count == images.shape[0], count == images.shape[3]
    if not first and not last:
        first = count is None
    if last and not first:
        images = images.transpose(3, 0, 1, 2)
    return np.ascontiguousarray(images) if first or last else None
