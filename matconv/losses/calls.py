"""Calls of the methods of a loss, with checks of their results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


def loss_targets(loss: Loss, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
    """Return ``loss.targets(Y, l, n_outputs, dtype)`` as a read-only array of l elements or rows.

    Raises
    ------
    TypeError, ValueError
        Exceptions of the loss are propagated.
    """
    name = type(loss).__name__
    refuse_masked(name, "Y", Y)
    y = loss.targets(Y, l, n_outputs, dtype)
    refuse_masked(f"{name}.targets", "the result", y)
    array = _converted(f"{name}.targets: the result", y)
    if array.shape[:1] != (l,):
        raise ValueError(
            f"{name}.targets: the result must have an entry or a row per image, {l}, "
            f"got shape {array.shape}"
        )
    return read_only(array)


def loss_value(loss: Loss, z: Array, y: Array) -> float:
    """Return ``loss.value(z, y)`` as a float.

    Raises
    ------
    TypeError
        If the result is not a real number. Exceptions of the loss are propagated.
    """
    name = f"{type(loss).__name__}.value"
    with _explaining(name):
        value = loss.value(read_only(z), y)
    return _number(name, value)


def loss_gradient(loss: Loss, z: Array, y: Array, l: int) -> tuple[float, Array]:
    """Return the value of ``loss.value_and_gradient(z, y)`` and its gradient divided by l.

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
    name = f"{type(loss).__name__}.value_and_gradient"
    with _explaining(name):
        result = loss.value_and_gradient(read_only(z), y)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(f"{name} must return (value, gradient), got {type(result).__name__}")
    value = _number(name, result[0])
    refuse_masked(name, "the gradient", result[1])
    gradient = _converted(f"{name}: the gradient", result[1])
    if gradient.dtype.kind not in "fiu":
        raise TypeError(f"{name}: the gradient must be of real numbers, got {gradient.dtype}")
    if gradient.shape != z.shape:
        raise ValueError(
            f"{name}: the gradient must have the shape of z, {z.shape}, got {gradient.shape}"
        )
    return value, np.divide(gradient, l, out=np.empty(z.shape, z.dtype), dtype=z.dtype)


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
