"""The matrices and equations (1), (2), (3) and (5) of the notes, in NumPy.

An image is a ``d x ab`` matrix with a column for each pixel, filters are a ``d_out x hhd`` matrix
with a row for each filter. The memory of the library's arrays is that of these matrices in
column-major order, so that `image_matrix` and `filter_matrix` return views.

These functions define what the compiled kernels compute; they are not fast. Masked arrays raise
TypeError. `matconv.phi` has a table of all equations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import refuse_masked

__all__ = [
    "activation",
    "filter_matrix",
    "image_matrix",
    "mat",
    "pre_activation",
    "relu",
    "relu_derivative",
    "vec",
]


Array = NDArray[Any]


def _array(function: str, name: str, value: ArrayLike, ndim: int | None = None) -> Array:
    """Return `value` as an array, checked to have `ndim` dimensions; None allows any number."""
    refuse_masked(f"{function}: {name}", value)
    array = np.asarray(value)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(
            f"{function}: {name} must have {ndim} dimension(s), got {array.ndim}: {array.shape}"
        )
    return array


def vec(M: ArrayLike) -> Array:
    """Return the columns of a matrix, one below the other: vec of the notes, inverse of `mat`.

    Parameters
    ----------
    M : array_like, (rows, columns)

    Returns
    -------
    ndarray, (rows*columns,)
        A view if `M` is column-major, else a copy.

    Raises
    ------
    ValueError
        If `M` is not a matrix.

    Examples
    --------
    >>> vec([[1, 3, 5], [2, 4, 6]])
    array([1, 2, 3, 4, 5, 6])
    """
    return _array("vec", "M", M, 2).ravel(order="F")


def mat(v: ArrayLike, rows: int, cols: int) -> Array:
    """Return the matrix whose columns, one below the other, form `v`: equation (5).

    Parameters
    ----------
    v : array_like, (rows*cols,)
    rows, cols : int

    Returns
    -------
    ndarray, (rows, cols)
        A view if `v` is a contiguous array, else a copy.

    Raises
    ------
    ValueError
        If `v` is not a vector of rows*cols elements.

    Examples
    --------
    >>> mat([1, 2, 3, 4, 5, 6], 2, 3)
    array([[1, 3, 5],
           [2, 4, 6]])
    """
    vector = _array("mat", "v", v, 1)
    if min(rows, cols) < 0 or vector.size != rows * cols:
        raise ValueError(
            f"mat: v has {vector.size} elements, expected {rows} x {cols} = {rows * cols}"
        )
    return vector.reshape((rows, cols), order="F")


def _columns(function: str, name: str, array: Array) -> Array:
    """Return a matrix with one row per index of the last axis; a view of a C-contiguous array."""
    if not array.flags.c_contiguous:
        raise ValueError(
            f"{function}: {name} must be C-contiguous to be seen as a matrix without a copy, "
            f"got shape {array.shape} with strides {array.strides}"
        )
    return array.reshape(-1, array.shape[-1]).T


def image_matrix(Z_i: Array) -> Array:
    """Return an image as a matrix with a row for each channel and a column for each pixel.

    Parameters
    ----------
    Z_i : ndarray, (b, a, d), C-contiguous
        Height, width, channels: ``Z[i]`` of a batch.

    Returns
    -------
    ndarray, (d, a*b)
        A column-major view: ``vec(image_matrix(Z_i))`` is the memory of `Z_i`.

    Raises
    ------
    ValueError
        If `Z_i` has another number of dimensions or is not C-contiguous.

    Examples
    --------
    >>> Z_i = np.arange(8.0).reshape(2, 2, 2)
    >>> image_matrix(Z_i)
    array([[0., 2., 4., 6.],
           [1., 3., 5., 7.]])
    """
    return _columns("image_matrix", "Z_i", _array("image_matrix", "Z_i", Z_i, 3))


def filter_matrix(W: Array) -> Array:
    """Return filters as a matrix with a row for each filter.

    Parameters
    ----------
    W : ndarray, (d, h_b, h_a, d_out), C-contiguous

    Returns
    -------
    ndarray, (d_out, h_a*h_b*d)
        A column-major view: ``vec(filter_matrix(W))`` is the memory of `W`. The columns have the
        order of the rows of phi: p fastest, then q, then the channel.

    Raises
    ------
    ValueError
        If `W` has another number of dimensions or is not C-contiguous.

    Examples
    --------
    >>> W = np.arange(8.0).reshape(2, 1, 2, 2)
    >>> filter_matrix(W)
    array([[0., 2., 4., 6.],
           [1., 3., 5., 7.]])
    """
    return _columns("filter_matrix", "W", _array("filter_matrix", "W", W, 4))


def pre_activation(W: ArrayLike, phi_Z: ArrayLike, b: ArrayLike) -> Array:
    """Return ``S = W phi(Z) + b 1'``: equation (1).

    Parameters
    ----------
    W : array_like, (d_out, hhd)
        As `filter_matrix` returns it.
    phi_Z : array_like, (hhd, positions)
        As `matconv.phi.phi` returns it.
    b : array_like, (d_out,)

    Returns
    -------
    ndarray, (d_out, positions)
        Column-major, so that its `vec` is a view.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> pre_activation([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]], [10.0])
    array([[11., 12.]])
    """
    W = _array("pre_activation", "W", W, 2)
    phi_Z = _array("pre_activation", "phi_Z", phi_Z, 2)
    b = _array("pre_activation", "b", b, 1)
    if W.shape[1] != phi_Z.shape[0] or b.shape[0] != W.shape[0]:
        raise ValueError(
            f"pre_activation: W {W.shape}, phi_Z {phi_Z.shape} and b {b.shape} do not fit: "
            "expected (d_out, hhd), (hhd, positions) and (d_out,)"
        )
    ones = np.ones((1, phi_Z.shape[1]), dtype=b.dtype)
    return np.asfortranarray(W @ phi_Z + b[:, np.newaxis] @ ones)


def relu(S: ArrayLike) -> Array:
    """Return ``max(x, 0)`` of every element x: equation (3). NaN remains NaN.

    Parameters
    ----------
    S : array_like, any shape

    Returns
    -------
    ndarray, the shape and dtype of `S`

    Examples
    --------
    >>> relu([-1.5, 0.0, 2.5])
    array([0. , 0. , 2.5])
    """
    S = _array("relu", "S", S)
    return np.where(S <= 0, S.dtype.type(0), S)


def relu_derivative(S: ArrayLike) -> Array:
    """Return the derivative of `relu`: 1 for x > 0, otherwise 0 (Krizhevsky et al., 2012).

    For NaN it is 1, as in the kernels, so that a NaN is propagated by the backward pass.

    Parameters
    ----------
    S : array_like, any shape

    Returns
    -------
    ndarray, the shape and dtype of `S`

    Examples
    --------
    >>> relu_derivative([-1.5, 0.0, 2.5])
    array([0., 0., 1.])
    """
    S = _array("relu_derivative", "S", S)
    return np.where(S <= 0, S.dtype.type(0), S.dtype.type(1))


def activation(S: ArrayLike, sigma: Callable[[Array], Array] = relu) -> Array:
    """Return ``Z = sigma(S)``, element by element: equation (2).

    Parameters
    ----------
    S : array_like, any shape
    sigma : callable, optional
        Function of an array. Default: `relu`.

    Returns
    -------
    ndarray, the shape of `S`

    Examples
    --------
    >>> activation([-1.5, 2.5])
    array([0. , 2.5])
    >>> activation([-1.5, 2.5], np.square)
    array([2.25, 6.25])
    """
    return sigma(_array("activation", "S", S))
