"""IDX files, the format of MNIST and its successors, plain or compressed by gzip.

    byte 0, 1   zero
    byte 2      type of the elements
    byte 3      number of dimensions
    4 each      the dimensions, unsigned, big-endian
    rest        the elements, big-endian, last dimension fastest

The format has no checksum. The length of the file must be the one that its dimensions give.
"""

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import check_deflate, check_expansion, fill, open_regular

__all__ = ["read_idx", "read_idx_images"]

_TYPES: dict[int, np.dtype] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_GZIP_MAGIC = b"\x1f\x8b"
Shape: TypeAlias = tuple[int, ...]
# maximum of NumPy 1; real files have at most 4
_MAX_DIMS = 32


def _read_header(path: FilePath, stream: Any) -> tuple[Shape, np.dtype, int]:
    """Return the shape and the dtype of an IDX file, and the length of its header in bytes."""
    magic = stream.read(4)
    if len(magic) < 4:
        raise format_error(path, f"an IDX file starts with 4 bytes, got {len(magic)}")
    if magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise format_error(
            path,
            f"an IDX file starts with 00 00 and a type of "
            f"{', '.join(f'{code:02x}' for code in _TYPES)}, got {magic[:3].hex(' ')}",
        )
    ndim = magic[3]
    if not 1 <= ndim <= _MAX_DIMS:
        raise format_error(path, f"an IDX file has 1 to {_MAX_DIMS} dimensions, got {ndim}")
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise format_error(
            path, f"truncated: {ndim} dimensions take {4 * ndim} bytes, got {len(sizes)}"
        )
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    dtype = _TYPES[magic[2]]
    # without zeros: also the other dimensions of an empty array must be possible
    if math.prod(size for size in shape if size) * dtype.itemsize > np.iinfo(np.intp).max:
        raise format_error(path, f"the dimensions {shape} are beyond any memory")
    return shape, dtype, 4 + 4 * ndim


def _read_content(path: FilePath, stream: Any, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """Return the elements in native byte order; the stream must end after them."""
    content = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
    count = fill(stream, content)
    if count < content.size:
        raise format_error(
            path,
            f"truncated: the dimensions {shape} of {dtype} take {content.size} bytes, got {count}",
        )
    if stream.read(1):
        raise format_error(
            path, f"trailing bytes after the {content.size} that the dimensions {shape} take"
        )
    array = content.view(dtype).reshape(shape)
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array


@contextmanager
def _gzip_errors(path: FilePath) -> Iterator[None]:
    """Convert errors of gzip and zlib about bad content to FormatError."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise format_error(path, f"damaged gzip content: {error}") from error


def read_idx(path: FilePath, max_bytes: int | None = None) -> np.ndarray:
    """Read an IDX file, plain or compressed by gzip; its name does not matter.

    Parameters
    ----------
    path : str, bytes or os.PathLike
    max_bytes : int, optional
        Maximum expanded size of a compressed file; by default the larger of 64 MiB and 200 times
        its length.

    Returns
    -------
    ndarray
        With the shape and type in the file (uint8, int8, int16, int32, float32 or float64), in
        native byte order.

    Raises
    ------
    FormatError
        If the file is not IDX, is shorter or longer than its dimensions say, or has gzip content
        that is damaged or too large. Sizes are checked before memory is allocated.
    OSError
        If the file cannot be read or is not a regular file.

    References
    ----------
    The format is described at the end of Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST
    database of handwritten digits".

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "example-idx2-short")
    ...     with open(path, "wb") as file:
    ...         n = file.write(bytes([0, 0, 11, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 255, 255]))
    ...     read_idx(path)
    array([[ 7, -1]], dtype=int16)
    """
    with open_regular(path) as (file, size):
        compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if compressed:
            with _gzip_errors(path), gzip.GzipFile(fileobj=file) as stream:
                shape, dtype, start = _read_header(path, stream)
                declared = start + math.prod(shape) * dtype.itemsize
                check_deflate(path, declared, size)
                check_expansion(path, declared, size, max_bytes)
                return _read_content(path, stream, shape, dtype)
        shape, dtype, start = _read_header(path, file)
        declared = start + math.prod(shape) * dtype.itemsize
        if declared != size:
            raise format_error(
                path,
                f"the dimensions {shape} of {dtype} make {declared} bytes, the file has {size}",
            )
        return _read_content(path, file, shape, dtype)


def read_idx_images(
    images_path: FilePath, labels_path: FilePath, max_bytes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read images and their labels from two IDX files, such as those of MNIST.

    Parameters
    ----------
    images_path, labels_path : str, bytes or os.PathLike
    max_bytes : int, optional
        As in `read_idx`, for each of the files.

    Returns
    -------
    Z : ndarray, (l, height, width, 1)
        Of the type in the file, usually uint8.
    y : ndarray, (l,), int64

    Raises
    ------
    FormatError
        As in `read_idx`; also if the images do not have 3 dimensions, the labels are not
        integers of 1 dimension, or the numbers of images and labels differ.
    OSError
        As in `read_idx`.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     images, labels = os.path.join(directory, "images"), os.path.join(directory, "labels")
    ...     with open(images, "wb") as file:
    ...         n = file.write(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 17, 255]))
    ...     with open(labels, "wb") as file:
    ...         n = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 1, 9]))
    ...     Z, y = read_idx_images(images, labels)
    >>> Z.shape, Z.dtype, y
    ((1, 1, 2, 1), dtype('uint8'), array([9]))
    """
    images = read_idx(images_path, max_bytes)
    if images.ndim != 3:
        raise format_error(
            images_path,
            f"images have 3 dimensions (images, height, width), got {images.ndim}: {images.shape}",
        )
    labels = read_idx(labels_path, max_bytes)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise format_error(
            labels_path,
            f"labels are integers of 1 dimension, got {labels.dtype} of shape {labels.shape}",
        )
    if len(images) != len(labels):
        raise format_error(
            images_path,
            f"{len(images)} images, but {len(labels)} labels in {os.fsdecode(labels_path)!r}",
        )
    return images[..., np.newaxis], labels.astype(np.int64)
