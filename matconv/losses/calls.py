"""Calls of the methods of a loss, with checks of their results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from numbers import Real
from typing import Any

import numpy as np

from ..kernels._arrays import refuse_masked
from .protocol import Array, Loss


def read_only(array: Array) -> Array:
    """Return a read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view


def loss_targets(
    loss: Loss, Y: Any, l: int, shape: tuple[int, ...], dtype: Any
) -> tuple[Array, int]:
    """Return the targets as a read-only array of l elements or rows, and the samples of an image.

    Parameters
    ----------
    loss : Loss
    Y : object
        The argument of `Objective`.
    l : int
        Number of images.
    shape : tuple of int
        Shape of the output for one image.
    dtype : numpy dtype

    Returns
    -------
    y : ndarray
        ``loss.targets(Y, l, n_outputs, dtype)``; for positions of shape (l, height, width, ...).
    positions : int
        Number of positions, if samples are positions; 0 if they are images.

    Raises
    ------
    TypeError, ValueError
        Exceptions of the loss are propagated.
    """
    name = type(loss).__name__
    refuse_masked(name, "Y", Y)
    if getattr(loss, "positions", None) is True and np.ndim(Y) in (3, 4):
        field = (1, 1, *shape)[-3:]
        return _field_targets(loss, np.asarray(Y), l, field, dtype), prod(field[:2])
    return _targets(loss, Y, l, prod(shape), dtype), 0


def _field_targets(loss: Loss, Y: Array, l: int, field: tuple[int, ...], dtype: Any) -> Array:
    """Return the targets of positions, shape (l, height, width) or (l, height, width, channels)."""
    expected = (l, *field)
    if Y.shape != expected[: Y.ndim]:
        raise ValueError(
            f"{type(loss).__name__}: Y must have shape {expected[:3]}, a label for each position of "
            f"the output, or {expected}, got {Y.shape}"
        )
    samples = l * field[0] * field[1]
    y = _targets(loss, Y.reshape(samples, *Y.shape[3:]), samples, field[2], dtype)
    return read_only(y.reshape(*expected[:3], *y.shape[1:]))


def _targets(loss: Loss, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
    name = type(loss).__name__
    y = loss.targets(Y, l, n_outputs, dtype)
    refuse_masked(f"{name}.targets", "the result", y)
    array = _converted(f"{name}.targets: the result", y)
    if array.shape[:1] != (l,):
        raise ValueError(
            f"{name}.targets: the result must have an entry or a row per image, {l}, "
            f"got shape {array.shape}"
        )
    return read_only(array)


def loss_labelled(loss: Loss, y: Array) -> Array | None:
    """Return which samples are labelled, a bool for each; None if all are.

    Raises
    ------
    TypeError, ValueError
        If ``loss.labelled(y)`` is not a vector of one bool for each sample.
    """
    if not hasattr(loss, "labelled"):
        return None
    name = f"{type(loss).__name__}.labelled"
    found = _converted(f"{name}: the result", loss.labelled(y))
    if found.dtype != np.bool_:
        raise TypeError(f"{name}: the result must be of bool, got {found.dtype}")
    if found.shape != (len(y),):
        raise ValueError(f"{name}: the result must have shape ({len(y)},), got {found.shape}")
    return None if found.all() else found


def loss_value(loss: Loss, z: Array, y: Array, weights: Array | None = None) -> float:
    """Return ``loss.value(z, y)`` as a float; with weights the sum of w_i xi_i.

    The loss is called once for each weight that occurs, with the samples that have it. Samples whose
    weight is 0 are not evaluated.

    Raises
    ------
    TypeError
        If the result is not a real number. Exceptions of the loss are propagated.
    """
    if weights is not None:
        groups = _by_weight(weights)
        return sum((w * loss_value(loss, z[rows], y[rows]) for w, rows in groups), 0.0)
    name = f"{type(loss).__name__}.value"
    with _explaining(name):
        value = loss.value(read_only(z), y)
    return _number(name, value)


def loss_gradient(
    loss: Loss, z: Array, y: Array, divisor: float, weights: Array | None = None
) -> tuple[float, Array]:
    """Return the value of ``loss.value_and_gradient(z, y)`` and its gradient over ``divisor``.

    With weights xi_i and its gradient are multiplied by w_i; the loss is called as by `loss_value`.

    Returns
    -------
    value : float
    gradient : ndarray, shape and dtype of z
        A new C-contiguous array.

    Raises
    ------
    TypeError, ValueError
        If the value is not a real number, or the gradient is not an array of real numbers with the
        shape of z. Exceptions of the loss are propagated.
    """
    if weights is not None:
        total, whole = 0.0, np.zeros(z.shape, z.dtype)
        for w, rows in _by_weight(weights):
            value, part = loss_gradient(loss, z[rows], y[rows], divisor)
            total += w * value
            whole[rows] = w * part
        return total, whole
    name = f"{type(loss).__name__}.value_and_gradient"
    with _explaining(name):
        result = loss.value_and_gradient(read_only(z), y)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(f"{name} must return (value, gradient), got {type(result).__name__}")
    value = _number(name, result[0])
    gradient = _array_like(name, "the gradient", result[1], z.shape)
    return value, np.divide(gradient, divisor, out=np.empty(z.shape, z.dtype), dtype=z.dtype)


def _by_weight(weights: Array) -> Iterator[tuple[float, Array]]:
    """Yield each positive weight, in ascending order, with the indices of its samples."""
    for w in np.unique(weights):
        if w > 0:
            yield float(w), np.flatnonzero(weights == w)


def loss_hessian_product(
    loss: Loss, z: Array, y: Array, dz: Array, divisor: float = 1.0, weights: Array | None = None
) -> Array:
    """Return ``loss.hessian_product(z, y, dz)``, B dz for each sample, in the dtype of z.

    It is divided by the divisor and, with weights, multiplied by w_i; then samples whose weight is
    0 are not evaluated.

    Raises
    ------
    TypeError, ValueError
        If the loss has no such method, or the result is not an array of real numbers with the shape
        of z. Exceptions of the loss are propagated.
    """
    if weights is not None:
        whole, rows = np.zeros(z.shape, z.dtype), np.flatnonzero(weights > 0)
        part = loss_hessian_product(loss, z[rows], y[rows], dz[rows])
        whole[rows] = part * (weights[rows, np.newaxis] / divisor)
        return whole
    name = _method(loss, "hessian_product")
    with _explaining(name):
        result = loss.hessian_product(read_only(z), y, read_only(dz))  # type: ignore[attr-defined]
    product = _array_like(name, "the product", result, z.shape)
    return np.divide(product, divisor, out=np.empty(z.shape, z.dtype), dtype=z.dtype)


def loss_factor(loss: Loss, z: Array, y: Array) -> Array:
    """Return ``loss.factor(z, y)``, S with B = S S' for each sample, in the dtype of z.

    Raises
    ------
    TypeError, ValueError
        If the loss has no such method, or the result is not an array of real numbers of shape
        (samples, n_outputs, k). Exceptions of the loss are propagated.
    """
    name = _method(loss, "factor")
    with _explaining(name):
        result = loss.factor(read_only(z), y)  # type: ignore[attr-defined]
    return _array_like(name, "the factor", result, (*z.shape, None)).astype(z.dtype, copy=False)


def _method(loss: Loss, method: str) -> str:
    """Return the name of an optional method for messages."""
    name = type(loss).__name__
    if not callable(getattr(loss, method, None)):
        raise TypeError(f"{name} has no method {method}, which second-order products need")
    return f"{name}.{method}"


def _array_like(name: str, what: str, value: Any, shape: tuple[int | None, ...]) -> Array:
    """Return an array of real numbers with this shape; None stands for any size."""
    refuse_masked(name, what, value)
    array = _converted(f"{name}: {what}", value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: {what} must be of real numbers, got {array.dtype}")
    if len(array.shape) != len(shape) or any(
        expected not in (None, found) for expected, found in zip(shape, array.shape)
    ):
        like = "the shape of z, " + str(shape) if None not in shape else f"shape {shape[:2]} + (k,)"
        raise ValueError(f"{name}: {what} must have {like}, got {array.shape}")
    return array


@contextmanager
def _explaining(name: str) -> Iterator[None]:
    """Add a note to NumPy's error about a write into z or y."""
    try:
        yield
    except ValueError as error:
        if "read-only" in str(error):
            error.add_note(f"{name}: z and y are read-only; copy what is changed in place")
        raise


def _converted(name: str, value: Any) -> Array:
    """Return value as an ndarray."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{name} is not an array: {error}") from None


def _number(name: str, value: Any) -> float:
    """Return a real number, or the only element of an array, as a float."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    if hasattr(value, "__array__") and not isinstance(value, np.ma.MaskedArray):
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "fiu":
            return float(array.reshape(()))
        raise TypeError(
            f"{name}: the value must be a real number, got an array of {array.dtype} of shape "
            f"{array.shape}"
        )
    raise TypeError(
        f"{name}: the value must be a real number, got {value!r} ({type(value).__name__})"
    )
