"""The notes, literally: phi and its 0/1 matrix P_phi; and the map of all equations.

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

import numpy as np
from scipy.sparse import csr_array, get_index_dtype
from scipy.sparse.linalg import LinearOperator

from .kernels import col2im, im2col
from .kernels.arrays import refuse_masked
from .kernels.geometry import WindowGeometry, is_sequence
from .notes import (
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


def _image_shape(function, shape):
    """(b, a, d), checked to be three sizes; each size is checked by the geometry."""
    if not is_sequence(shape):
        raise TypeError(f"{function}: shape must be (height, width, channels), got {shape!r}")
    shape = tuple(shape)
    if len(shape) != 3:
        raise ValueError(f"{function}: shape must be (height, width, channels), got {shape!r}")
    return shape


def phi(Z_i, kernel, stride=1, pad=0, dilation=1):
    """Equation (4): all sub-images of one image, one per column.

    Equal to ``mat(P_phi @ vec(image_matrix(Z_i)), rows, cols)``, but evaluated by `im2col`,
    which never forms P_phi.

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
        the channel; columns are the output positions, along the width first.

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
    Z_i = np.asarray(Z_i)
    if Z_i.ndim != 3:
        raise ValueError(f"phi: Z_i must be (height, width, channels), got shape {Z_i.shape}")
    return im2col(Z_i[np.newaxis], kernel, stride, pad, dilation)[0].T


def P_phi(shape, kernel, stride=1, pad=0, dilation=1, dtype=np.float64):
    """The 0/1 matrix of equation (4): ``vec(phi(Z)) = P_phi vec(Z)``.

    Each row holds a single one, at the pixel that this entry of phi shows, or is empty where it
    shows the padding.

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
        As `matconv.im2col`; also OverflowError when the matrix has more rows than can be counted.
    MemoryError
        If the matrix does not fit the memory.

    Notes
    -----
    The matrix is large: one entry for every entry of phi. `phi_operator` is the same mapping
    without a matrix.

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
    shape = _image_shape("P_phi", shape)
    geometry = WindowGeometry("P_phi", (1, *shape), kernel, stride, pad, dilation)
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
    # the axes of vec(phi), slowest first: output row and column, channel, q, p
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


def _pixels(out, h, step, apart, before):
    """The pixel, along one axis, that offset q meets at output position q_out: (out, h)."""
    return np.arange(out)[:, np.newaxis] * step + np.arange(h) * apart - before


def _operator_shape(geometry):
    """(rows, columns) of P_phi, or an OverflowError."""
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


def phi_operator(shape, kernel, stride=1, pad=0, dilation=1, dtype=np.float64):
    """Equation (4) as a linear operator: P_phi without the matrix.

    Parameters
    ----------
    shape : (b, a, d)
        Height, width and channels of one image.
    kernel, stride, dilation : int or (height, width)
    pad : int, (height, width) or ((top, bottom), (left, right))
    dtype : float64 or float32, optional
        What integers are converted to; vectors of float64 and float32 keep their dtype.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator, (d*h_b*h_a*b_out*a_out, d*a*b)
        Its products with vectors and matrices are `im2col`, those of its adjoint ``.H`` (or its
        transpose ``.T``) are `col2im`.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `matconv.im2col`. A product with numbers that are neither real floating point of these
        two dtypes nor integers is a TypeError.

    Examples
    --------
    >>> operator = phi_operator((2, 3, 1), (2, 2))
    >>> operator @ np.arange(6.0)
    array([0., 1., 3., 4., 1., 2., 4., 5.])
    >>> operator.T @ np.ones(8)
    array([1., 2., 1., 1., 2., 1.])
    """
    shape = _image_shape("phi_operator", shape)
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise TypeError(f"phi_operator: dtype must be float64 or float32, got {np.dtype(dtype)}")
    geometry = WindowGeometry("phi_operator", (1, *shape), kernel, stride, pad, dilation)
    return _PhiOperator(geometry, dtype)


class _PhiOperator(LinearOperator):
    """im2col and col2im between vectors; the columns of a matrix are the images of one batch."""

    def __init__(self, geometry, dtype):
        super().__init__(dtype, _operator_shape(geometry))
        self._image = geometry.shape[1:]
        _, b_out, a_out, _ = geometry.out_shape
        self._phi = (b_out * a_out, self.shape[0] // (b_out * a_out))
        self._window = (geometry.kernel, geometry.stride, geometry.pad, geometry.dilation)

    def _numbers(self, X):
        if X.dtype in (np.float64, np.float32):
            return X
        if X.dtype.kind not in "iu":
            raise TypeError(
                f"phi_operator: a product needs float64, float32 or integers, got {X.dtype}"
            )
        return X.astype(self.dtype)

    def _matmat(self, X):
        Z = self._numbers(X).T.reshape(-1, *self._image)
        return im2col(Z, *self._window).reshape(-1, self.shape[0]).T

    def _rmatmat(self, X):
        X = self._numbers(X)
        phi_Z = X.T.reshape(-1, *self._phi)
        return col2im(phi_Z, (X.shape[1], *self._image), *self._window).reshape(-1, self.shape[1]).T

    def _matvec(self, x):
        return self._matmat(x.reshape(-1, 1))

    def _rmatvec(self, x):
        return self._rmatmat(x.reshape(-1, 1))
