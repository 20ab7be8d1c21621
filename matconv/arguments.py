"""Checks of arguments: each returns the argument in its plain form or raises an error.

``name`` begins the error message. It is the name of the argument, after that of the function or
class where this is not plain: "learning_rate", "Dense: bias".
"""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np


def as_flag(name: str, value: Any) -> bool:
    """Return a bool.

    Raises
    ------
    TypeError
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def as_text(name: str, value: Any) -> str:
    """Return a printable str that is not empty.

    Raises
    ------
    TypeError, ValueError
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
    """
    number = as_real(name, value)
    if not minimum <= number < below:
        end = "finite" if below == math.inf else f"below {below:g}"
        raise ValueError(f"{name} must be at least {minimum:g} and {end}, got {number:g}")
    return number


def as_reals(name: str, value: Any) -> tuple[float, ...]:
    """Return finite floats from a list, tuple or array.

    Raises
    ------
    TypeError, ValueError, OverflowError
    """
    if isinstance(value, (str, bytes, np.ma.MaskedArray)) or not hasattr(value, "__len__"):
        raise TypeError(f"{name} must be a sequence of numbers, got {value!r}")
    numbers = tuple(as_real(name, one) for one in value)
    for number in numbers:
        if not math.isfinite(number):
            raise ValueError(f"{name} must be finite, got {number}")
    return numbers
