"""1,797 images of handwritten digits with 8 x 8 pixels.

The file digits.csv.gz is, byte for byte, scikit-learn's copy of the test part of "Optical
Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), from the UCI Machine
Learning Repository (https://archive.ics.uci.edu/dataset/80), licensed CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/). One line per image: 64 pixels, then the digit.
"""

import gzip
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Split", "load_digits"]


class Split(NamedTuple):
    """Training and test images with their labels.

    Attributes
    ----------
    Z_train, Z_test : ndarray, (l, height, width, channels)
    y_train, y_test : ndarray, (l,), int64
    """

    Z_train: np.ndarray
    y_train: np.ndarray
    Z_test: np.ndarray
    y_test: np.ndarray


def load_digits(dtype: Any = np.float64) -> Split:
    """Return the 1,797 handwritten digits of the library, in a fixed split.

    A pixel of the file is the number of black pixels, 0 to 16, in a square of 4 x 4; it is divided
    by 16, which is exact. Every fifth image is a test image.

    **The same 13 people wrote the digits of both parts.** The accuracy on the test images is an
    estimate for other digits of these writers; for other writers it is too high.

    Parameters
    ----------
    dtype : numpy dtype, optional
        float64 or float32.

    Returns
    -------
    Split
        ``Z_train`` (1438, 8, 8, 1), ``y_train`` (1438,), ``Z_test`` (359, 8, 8, 1) and
        ``y_test`` (359,); new arrays in every call.

    Raises
    ------
    TypeError
        If `dtype` is neither float64 nor float32.

    References
    ----------
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998, UCI Machine
    Learning Repository, CC BY 4.0; the copy of its test part in scikit-learn.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.Z_train.shape, digits.Z_test.shape
    ((1438, 8, 8, 1), (359, 8, 8, 1))
    >>> digits.y_test[:10]
    array([4, 9, 4, 9, 4, 9, 6, 9, 7, 0])
    """
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise TypeError(f"load_digits: dtype must be float64 or float32, got {np.dtype(dtype)}")
    packed = resources.files("matconv.data").joinpath("digits.csv.gz").read_bytes()
    lines = gzip.decompress(packed).decode("ascii").splitlines()
    table = np.loadtxt(lines, dtype=np.int64, delimiter=",")
    Z = (table[:, :-1] / 16).astype(dtype).reshape(-1, 8, 8, 1)
    y = table[:, -1].copy()
    test = np.arange(len(y)) % 5 == 4
    return Split(Z[~test], y[~test], Z[test], y[test])
