"""Binary files of CIFAR-10 and CIFAR-100: images of 32 x 32 x 3 and labels, without a header.

An image is one label (CIFAR-100: two, of the coarse and of the fine class) and the pixels of the
red, the green and the blue channel, row by row.
"""

from __future__ import annotations

import os

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import fill, open_regular

__all__ = ["cifar_labels", "list_cifar", "read_cifar"]

_PIXELS = 32 * 32 * 3
# names of the files of training and test images
_TRAIN = (*(f"data_batch_{k}.bin" for k in range(1, 6)), "train.bin")
_TEST = ("test_batch.bin", "test.bin")


def cifar_labels(size: int) -> int | None:
    """Return the number of labels of an image in a file of so many bytes; None for other files."""
    return next((n for n in (1, 2) if size and size % (n + _PIXELS) == 0), None)


def read_cifar(path: FilePath) -> tuple[np.ndarray, np.ndarray]:
    """Read images and labels, the fine ones of CIFAR-100.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Returns
    -------
    Z : ndarray of uint8, (l, 32, 32, 3)
    y : ndarray of int64, (l,)

    Raises
    ------
    FormatError
        If the file does not have the size of such images, or a label is over 9 (99).
    OSError
        If the file cannot be read.
    """
    with open_regular(path) as (file, size):
        n = cifar_labels(size)
        if n is None:
            raise format_error(
                path,
                f"{size} bytes are not a number of CIFAR's images, of {1 + _PIXELS} or "
                f"{2 + _PIXELS} bytes",
            )
        content = np.empty(size, np.uint8)
        if fill(file, content) != size:
            raise format_error(path, "the file became shorter while it was read")
    rows = content.reshape(-1, n + _PIXELS)
    y = rows[:, n - 1].astype(np.int64)
    if y.max() > (9, 99)[n - 1]:
        raise format_error(path, f"the label {y.max()} is not one of CIFAR-{(10, 100)[n - 1]}")
    Z = rows[:, n:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(Z), y


def list_cifar(directory: str) -> tuple[list[str], list[str]]:
    """Return the paths of the files of training and of test images in a directory."""
    names = set(os.listdir(directory))
    found = [[os.path.join(directory, x) for x in some if x in names] for some in (_TRAIN, _TEST)]
    return found[0], found[1]
