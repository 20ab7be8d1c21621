"""Options of the methods, checked."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np


def as_count(name: str, value: Any, least: int = 1) -> int:
    """An integer of at least ``least``.

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
    if count < least:
        raise ValueError(f"{name} must be at least {least}, got {count}")
    return count


def as_number(name: str, value: Any, least: float = 0.0, below: float = math.inf) -> float:
    """A real number x with least <= x < below.

    Raises
    ------
    TypeError, ValueError
    """
    if isinstance(value, (bool, str, bytes, np.ma.MaskedArray)):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be a number, got {value!r} ({type(value).__name__})"
        ) from None
    if not least <= number < below:
        end = "finite" if below == math.inf else f"below {below:g}"
        raise ValueError(f"{name} must be at least {least:g} and {end}, got {number:g}")
    return number
