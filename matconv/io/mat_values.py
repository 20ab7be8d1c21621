"""Values in MATLAB files that are not plain Python objects: sparse matrices, classes not read."""

from __future__ import annotations

import numpy as np

__all__ = ["Sparse", "Unsupported"]


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


class Sparse:
    """A sparse matrix: column j has the elements ends[j] to ends[j + 1] of rows and values.

    Parameters
    ----------
    shape : (rows, columns)
    rows : ndarray of int, (n,)
        Index of the row of each element.
    ends : ndarray of int, (columns + 1,)
    values : ndarray, (n,)

    Raises
    ------
    ValueError
        If the arrays do not fit each other.

    Examples
    --------
    >>> Sparse((2, 3), np.array([1, 0]), np.array([0, 1, 1, 2]), np.array([5.0, 7.0])).dense(4)
    array([[0., 0., 7., 0.],
           [5., 0., 0., 0.]])
    """

    def __init__(
        self, shape: tuple[int, ...], rows: np.ndarray, ends: np.ndarray, values: np.ndarray
    ) -> None:
        fits = len(shape) == 2 and rows.ndim == ends.ndim == values.ndim == 1
        fits = fits and min(shape) >= 0 and len(ends) == shape[1] + 1 and bool(ends[0] == 0)
        if not fits or (ends[1:] < ends[:-1]).any() or ends[-1] > min(len(rows), len(values)):
            raise ValueError(f"the indices of a sparse matrix {shape} do not fit")
        count = int(ends[-1])
        rows, values = rows[:count], values[:count]
        if count and not 0 <= rows.min() <= rows.max() < shape[0]:
            raise ValueError(f"an index of a sparse matrix {shape} is out of range")
        self.shape, self._rows, self._ends, self._values = shape, rows, ends, values

    def dense(self, columns: int) -> np.ndarray:
        """Return the matrix as an array of float64, with more columns of zeros up to a number."""
        array = np.zeros((self.shape[0], max(columns, self.shape[1])))
        array[self._rows, np.repeat(np.arange(self.shape[1]), np.diff(self._ends))] = self._values
        return array
