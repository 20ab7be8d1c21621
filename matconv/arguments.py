"""Checks of arguments.

Each function returns the argument as a plain Python object or an array, or raises an error whose
message begins with ``name``: the name of the argument, or that of the function or class and of the
argument, as in "learning_rate", "Dense: bias".
"""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np


def refuse_masked(name: str, value: Any) -> None:
    """Raise TypeError for a masked array, because its mask would be ignored."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill it or drop the mask first")


def as_flag(name: str, value: Any) -> bool:
    """Return a bool.

    Raises
    ------
    TypeError
        If the value is neither a bool nor NumPy's.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def as_text(name: str, value: Any) -> str:
    """Return a printable str that is not empty.

    Raises
    ------
    TypeError, ValueError
        If the value is not a str, or not such a str.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {value!r} ({type(value).__name__})")
    if not value or not value.isprintable():
        raise ValueError(f"{name} must be printable and not empty, got {value!r}")
    return str(value)


def as_count(name: str, value: Any, minimum: int = 1) -> int:
    """Return an int that is at least ``minimum``.

    Raises
    ------
    TypeError, ValueError
        If the value is not an integer, or less than ``minimum``.
    """
    if isinstance(value, (bool, np.ma.MaskedArray)):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    try:
        count = index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer, got {value!r} ({type(value).__name__})"
        ) from None
    if count < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {count}")
    return count


def as_real(name: str, value: Any) -> float:
    """Return a float, which may be infinite or NaN.

    Raises
    ------
    TypeError, OverflowError
        If the value is not a number, or an integer that no float can represent.
    """
    problem = f"{name} must be a number, got {value!r} ({type(value).__name__})"
    if isinstance(value, (bool, str, bytes, np.ma.MaskedArray)) or np.ndim(value):
        raise TypeError(problem)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(problem) from None
    except OverflowError:
        raise OverflowError(f"{name} must be a number that a float can hold") from None


def as_number(name: str, value: Any, minimum: float = 0.0, below: float = math.inf) -> float:
    """Return a float x with minimum <= x < below.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the value is not a number, or out of range.
    """
    number = as_real(name, value)
    if not minimum <= number < below:
        end = "finite" if below == math.inf else f"below {below:g}"
        raise ValueError(f"{name} must be at least {minimum:g} and {end}, got {number:g}")
    return number


def as_budget(name: str, value: Any) -> float:
    """Return a float that is at least 0; it may be infinite.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the value is not a number, or not such a number.
    """
    number = as_real(name, value)
    if not number >= 0:
        raise ValueError(f"{name} must be at least 0, got {number:g}")
    return number


def as_reals(name: str, value: Any) -> tuple[float, ...]:
    """Return finite floats from a list, tuple or array.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the value is not a sequence of numbers, or one of them is not finite.
    """
    if isinstance(value, (str, bytes, np.ma.MaskedArray)) or not hasattr(value, "__len__"):
        raise TypeError(f"{name} must be a sequence of numbers, got {value!r}")
    numbers = tuple(as_real(name, one) for one in value)
    for number in numbers:
        if not math.isfinite(number):
            raise ValueError(f"{name} must be finite, got {number}")
    return numbers


def as_regularisation(name: str, value: Any) -> float:
    """Return a positive float, which may be infinite: no regularisation.

    Raises
    ------
    TypeError, ValueError
        If the value is not a number, or not positive.
    """
    refuse_masked(name, value)
    if isinstance(value, (bool, str, bytes)) or value is None:
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not number > 0:
        raise ValueError(f"{name} must be positive (inf: no regularisation), got {value!r}")
    return number


def as_weights(name: str, value: Any, count: int) -> np.ndarray:
    """Return a read-only vector of ``count`` floats, finite, not negative and not all 0.

    Raises
    ------
    TypeError, ValueError
        If the value is not such a vector, or the sum of its elements overflows.
    """
    refuse_masked(name, value)
    weights = np.asarray(value)
    if weights.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be real numbers, got {weights.dtype}")
    if weights.shape != (count,):
        raise ValueError(f"{name} must have shape ({count},), one per image, got {weights.shape}")
    weights = weights.astype(np.float64)
    wrong = ~((weights >= 0) & (weights < np.inf))
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"{name} must be at least 0 and finite, got {weights[first]:g} at index {first}"
        )
    if not weights.any():
        raise ValueError(f"{name} must not all be 0")
    weights.flags.writeable = False
    return weights


def as_indices(name: str, value: Any, count: int) -> np.ndarray:
    """Return a vector of at least one index from 0 to count - 1; a slice is converted to one.

    Raises
    ------
    TypeError, ValueError
        If the value is not such a vector.
    """
    if isinstance(value, slice):
        value = np.arange(count)[value]
    refuse_masked(name, value)
    indices = np.asarray(value)
    if indices.dtype.kind not in "iu" and indices.size:
        raise TypeError(f"{name} must be integers, got {indices.dtype}")
    if indices.ndim != 1 or indices.size == 0:
        raise ValueError(f"{name} must be a vector of at least one, got shape {indices.shape}")
    if not (0 <= indices.min() and indices.max() < count):
        raise ValueError(
            f"{name} must be from 0 to {count - 1}, got {indices.min()} to {indices.max()}"
        )
    return indices
