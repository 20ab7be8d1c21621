"""The operator phi of the notes, its matrix P_phi, and a table of all equations.

==========  ==========================================================
equation    function
==========  ==========================================================
(1)         `pre_activation`
(2)         `activation`
(3)         `relu`, and its derivative `relu_derivative`
(4)         `phi`, `P_phi`, `phi_operator`
(5)         `mat`, and its inverse `vec`
theta       `matconv.Network.pack`
f           `matconv.Objective`
==========  ==========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse import csr_array, get_index_dtype
from scipy.sparse.linalg import LinearOperator

from .kernels import col2im, im2col
from .kernels._arrays import refuse_masked
from .kernels._geometry import WindowGeometry
from .kernels._sizes import is_sequence
from .layers.windows import Sides, Size
from .notes import (
    Array,
    activation,
    filter_matrix,
    image_matrix,
    mat,
    pre_activation,
    relu,
    relu_derivative,
    vec,
)

__all__ = [
    "P_phi",
    "activation",
    "filter_matrix",
    "image_matrix",
    "mat",
    "phi",
    "phi_operator",
    "pre_activation",
    "relu",
    "relu_derivative",
    "vec",
]


def _image_shape(function: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Return (b, a, d) as a tuple of three sizes, which `WindowGeometry` checks."""
    if not is_sequence(shape):
        raise TypeError(f"{function}: shape must be (height, width, channels), got {shape!r}")
    sizes = tuple(shape)
    if len(sizes) != 3:
        raise ValueError(f"{function}: shape must be (height, width, channels), got {sizes!r}")
    return sizes


def phi(
    Z_i: ArrayLike, kernel: Size, stride: Size = 1, pad: Sides = 0, dilation: Size = 1
) -> Array:
    """Return all sub-images of an image as the columns of a matrix: equation (4).

    The result is equal to ``mat(P_phi @ vec(image_matrix(Z_i)), rows, cols)``, but computed by `im2col`
    without P_phi.

    Parameters
    ----------
    Z_i : array_like, (b, a, d), float64 or float32
        Height, width, channels.
    kernel, stride, dilation : int or (height, width)
    pad : int, (height, width) or ((top, bottom), (left, right))

    Returns
    -------
    ndarray, (d*h_b*h_a, b_out*a_out)
        Column-major. Rows are ordered p (offset to the right) fastest, then q (offset down), then
        the channel; columns are the output positions, first along the width.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `matconv.im2col`.

    Examples
    --------
    >>> phi(np.arange(6.0).reshape(2, 3, 1), (2, 2))
    array([[0., 1.],
           [1., 2.],
           [3., 4.],
           [4., 5.]])
    """
    refuse_masked("phi", "Z_i", Z_i)
    image = np.asarray(Z_i)
    if image.ndim != 3:
        raise ValueError(f"phi: Z_i must be (height, width, channels), got shape {image.shape}")
    return im2col(image[np.newaxis], kernel, stride, pad, dilation)[0].T


def P_phi(
    shape: Sequence[int],
    kernel: Size,
    stride: Size = 1,
    pad: Sides = 0,
    dilation: Size = 1,
    dtype: DTypeLike = np.float64,
) -> Any:
    """Return the matrix of equation (4): ``vec(phi(Z)) = P_phi vec(Z)``.

    A row has a single 1, at the pixel that is this element of phi, or no element if it is padding.

    Parameters
    ----------
    shape : (b, a, d)
        Height, width and channels of one image.
    kernel, stride, dilation : int or (height, width)
    pad : int, (height, width) or ((top, bottom), (left, right))
    dtype : dtype, optional

    Returns
    -------
    scipy.sparse.csr_array, (d*h_b*h_a*b_out*a_out, d*a*b)
        ``im2col(Z, kernel)[i].ravel() == P_phi(shape, kernel) @ Z[i].ravel()``, exactly.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `matconv.im2col`; also OverflowError if the matrix has more rows than can be addressed.
    MemoryError
        If there is no memory for the matrix.

    Notes
    -----
    The matrix has one stored element for each element of phi(Z) that is not padding. `phi_operator`
    is the same map without a matrix.

    Examples
    --------
    >>> P_phi((2, 3, 1), (2, 2)).toarray()
    array([[1., 0., 0., 0., 0., 0.],
           [0., 1., 0., 0., 0., 0.],
           [0., 0., 0., 1., 0., 0.],
           [0., 0., 0., 0., 1., 0.],
           [0., 1., 0., 0., 0., 0.],
           [0., 0., 1., 0., 0., 0.],
           [0., 0., 0., 0., 1., 0.],
           [0., 0., 0., 0., 0., 1.]])
    """
    image = _image_shape("P_phi", shape)
    geometry = WindowGeometry("P_phi", (1, *image), kernel, stride, pad, dilation)
    _, b, a, d = geometry.shape
    rows, cols = _operator_shape(geometry)
    index = get_index_dtype(maxval=max(rows, cols))
    y, x = (
        _pixels(out, h, step, apart, before)
        for out, h, step, apart, (before, _) in zip(
            geometry.out_shape[1:3],
            geometry.kernel,
            geometry.stride,
            geometry.dilation,
            geometry.pad,
        )
    )
    # axes of vec(phi), slowest first: output row, output column, channel, q, p
    y = y[:, np.newaxis, np.newaxis, :, np.newaxis]
    x = x[np.newaxis, :, np.newaxis, np.newaxis, :]
    j = np.arange(d)[np.newaxis, np.newaxis, :, np.newaxis, np.newaxis]
    real = np.broadcast_to(
        (y >= 0) & (y < b) & (x >= 0) & (x < a), (len(y), x.shape[1], d, y.shape[3], x.shape[4])
    )
    pixel = ((y * a + x) * d + j).astype(index)  # z_{p,q,j} in vec(Z)
    before_row = np.zeros(rows + 1, dtype=index)
    np.cumsum(real, out=before_row[1:])
    indices = pixel[real]
    return csr_array((np.ones(len(indices), dtype), indices, before_row), shape=(rows, cols))


def _pixels(out: int, h: int, step: int, apart: int, before: int) -> Array:
    """Return, along one axis, the pixel at each output position and offset: shape (out, h)."""
    return np.arange(out)[:, np.newaxis] * step + np.arange(h) * apart - before


def _operator_shape(geometry: WindowGeometry) -> tuple[int, int]:
    """Return (rows, columns) of P_phi or raise OverflowError."""
    _, b, a, d = geometry.shape
    _, b_out, a_out, _ = geometry.out_shape
    h_b, h_a = geometry.kernel
    rows = d * h_b * h_a * b_out * a_out
    if rows > np.iinfo(np.intp).max // 8:
        raise OverflowError(
            f"{geometry.function}: P_phi of {rows} rows is larger than any memory "
            f"(input {b} x {a} x {d}, kernel {h_b} x {h_a}, output {b_out} x {a_out})"
        )
    return rows, d * a * b


def phi_operator(
    shape: Sequence[int],
    kernel: Size,
    stride: Size = 1,
    pad: Sides = 0,
    dilation: Size = 1,
    dtype: DTypeLike = np.float64,
) -> LinearOperator:
    """Return P_phi of equation (4) as a linear operator, without storing the matrix.

    Parameters
    ----------
    shape : (b, a, d)
        Height, width and channels of one image.
    kernel, stride, dilation : int or (height, width)
    pad : int, (height, width) or ((top, bottom), (left, right))
    dtype : float64 or float32, optional
        Operands of integers are converted to it; those of float64 and float32 keep their dtype.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator, (d*h_b*h_a*b_out*a_out, d*a*b)
        Products with vectors and matrices are computed by `im2col`, those of the adjoint ``.H`` or
        the transpose ``.T`` by `col2im`.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `matconv.im2col`. A product with an array of another dtype than float64, float32 and
        integers raises TypeError.

    Examples
    --------
    >>> operator = phi_operator((2, 3, 1), (2, 2))
    >>> operator @ np.arange(6.0)
    array([0., 1., 3., 4., 1., 2., 4., 5.])
    >>> operator.T @ np.ones(8)
    array([1., 2., 1., 1., 2., 1.])
    """
    image = _image_shape("phi_operator", shape)
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise TypeError(f"phi_operator: dtype must be float64 or float32, got {np.dtype(dtype)}")
    geometry = WindowGeometry("phi_operator", (1, *image), kernel, stride, pad, dilation)
    return _PhiOperator(geometry, dtype)


class _PhiOperator(LinearOperator):  # type: ignore[misc]
    """Products by im2col and col2im; each column of a matrix is an image of a batch."""

    def __init__(self, geometry: WindowGeometry, dtype: DTypeLike) -> None:
        super().__init__(dtype, _operator_shape(geometry))
        self._image = geometry.shape[1:]
        _, b_out, a_out, _ = geometry.out_shape
        self._phi = (b_out * a_out, self.shape[0] // (b_out * a_out))
        self._window = (geometry.kernel, geometry.stride, geometry.pad, geometry.dilation)

    def _floats(self, X: Array) -> Array:
        if X.dtype in (np.float64, np.float32):
            return X
        if X.dtype.kind not in "iu":
            raise TypeError(
                f"phi_operator: a product needs float64, float32 or integers, got {X.dtype}"
            )
        return X.astype(self.dtype)

    def _matmat(self, X: Array) -> Array:
        Z = self._floats(X).T.reshape(-1, *self._image)
        return im2col(Z, *self._window).reshape(-1, self.shape[0]).T

    def _rmatmat(self, X: Array) -> Array:
        X = self._floats(X)
        phi_Z = X.T.reshape(-1, *self._phi)
        return col2im(phi_Z, (X.shape[1], *self._image), *self._window).reshape(-1, self.shape[1]).T

    def _matvec(self, x: Array) -> Array:
        return self._matmat(x.reshape(-1, 1))

    def _rmatvec(self, x: Array) -> Array:
        return self._rmatmat(x.reshape(-1, 1))
