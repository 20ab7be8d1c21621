"""Linear operators of SciPy from functions that compute products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator


class ProductOperator(LinearOperator):  # type: ignore[misc]
    """A real linear operator.

    Parameters
    ----------
    dtype : float64 or float32
        Real operands of other dtypes are converted to it.
    shape : (int, int)
    product, adjoint : callable
        Products with an array of shape (n,) or (n, k), and with one of the adjoint.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.operators import ProductOperator
    >>> A = np.array([[1.0, 2], [3, 4], [5, 6]])
    >>> operator = ProductOperator(A.dtype, A.shape, A.__matmul__, A.T.__matmul__)
    >>> operator @ [1, 1], operator.T @ np.ones((3, 1))
    (array([ 3.,  7., 11.]), array([[ 9.],
           [12.]]))
    """

    def __init__(
        self,
        dtype: Any,
        shape: tuple[int, int],
        product: Callable[[np.ndarray], np.ndarray],
        adjoint: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        super().__init__(dtype, shape)
        self._product, self._adjoint_product = product, adjoint

    def _real(self, x: np.ndarray) -> np.ndarray:
        """Return real operands in the operator's dtype."""
        if x.dtype.kind not in "fiub":
            raise TypeError(f"ProductOperator: operands must be real, got {x.dtype}")
        return np.ascontiguousarray(x, self.dtype)

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._product(self._real(x).reshape(-1))

    def _rmatvec(self, x: np.ndarray) -> np.ndarray:
        return self._adjoint_product(self._real(x).reshape(-1))

    def _matmat(self, X: np.ndarray) -> np.ndarray:
        return self._product(self._real(X))

    def _rmatmat(self, X: np.ndarray) -> np.ndarray:
        return self._adjoint_product(self._real(X))

    def _adjoint(self) -> ProductOperator:
        return ProductOperator(self.dtype, self.shape[::-1], self._adjoint_product, self._product)

    _transpose = _adjoint
