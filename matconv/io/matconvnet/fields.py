"""Fields of the structs in MatConvNet's files, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from matconv.files.regular import shortened

__all__ = ["Entry", "as_list", "numbers_of", "text_of"]

_MAX_INT = 2**31


def as_list(value: Any) -> list[Any]:
    """Return the elements of a cell or of a struct array; one element for a scalar struct."""
    if isinstance(value, list):
        return value
    if isinstance(value, np.ndarray) and value.size == 0:
        return []
    return [value]


def numbers_of(what: str, value: Any) -> list[float]:
    """Return the elements of an array of real numbers, none for anything that is empty.

    Raises
    ------
    ValueError
        If the value is not an array of finite numbers.
    """
    if value is None or (isinstance(value, (list, str)) and not value):
        return []
    if not isinstance(value, np.ndarray) or value.size > 1000:
        raise ValueError(f"{what} must be numbers, got {shortened(repr(value))}")
    found = [float(x) for x in value.ravel(order="F")]
    if not np.isfinite(found).all():
        raise ValueError(f"{what} must be finite, got {shortened(found)}")
    return found


def text_of(value: Any, default: str = "") -> str:
    """Return a text, the default for anything else."""
    return value if isinstance(value, str) else default


@dataclass
class Entry:
    """A layer of a file.

    Attributes
    ----------
    where : str
        Its position, name and type, for messages.
    kind : str
        Its type in lower case, as SimpleNN names it: "conv", "bnorm", ...
    name : str
        Its name in the file; may be empty.
    fields : dict
        Its other fields.
    weights : list of ndarray
    inputs : list of str
        Names of the values that it reads.
    output : str
        Name of the value that it makes.
    params : tuple of str
        Names of the parameters of a DagNN; empty if none are shared.
    dense : bool
        Whether a convolution of the whole image is to be a Dense layer.
    """

    where: str
    kind: str
    name: str
    fields: dict[str, Any]
    weights: list[np.ndarray]
    inputs: list[str]
    output: str
    params: tuple[str, ...] = ()
    dense: bool = False

    def integers(self, name: str, default: int, *counts: int) -> list[int]:
        """Return a field with one integer, or one of some other counts; the default if empty.

        Raises
        ------
        ValueError
            If the field has another number of elements, or one that is not an integer.
        """
        found = numbers_of(name, self.fields.get(name)) or [float(default)]
        if len(found) not in (1, *counts):
            expected = " or ".join(map(str, (1, *counts)))
            raise ValueError(f"{name} must have {expected} elements, got {len(found)}")
        if any(x != int(x) or abs(x) >= _MAX_INT for x in found):
            raise ValueError(f"{name} must be integers, got {shortened(found)}")
        return [int(x) for x in found]

    def pair(self, name: str, default: int) -> tuple[int, int]:
        """Return (down, right) of a field with 1 or 2 integers."""
        found = self.integers(name, default, 2)
        return (found[0], found[-1])

    def sides(self, name: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return ((top, bottom), (left, right)) of a field with 1 or 4 integers, 0 by default."""
        found = self.integers(name, 0, 4)
        top, bottom, left, right = found if len(found) == 4 else found * 4
        return (top, bottom), (left, right)

    def number(self, name: str, default: float) -> float:
        """Return a field with one number."""
        found = numbers_of(name, self.fields.get(name)) or [default]
        if len(found) != 1:
            raise ValueError(f"{name} must be one number, got {len(found)}")
        return found[0]

    def flag(self, name: str, default: bool) -> bool:
        """Return a field with a logical value."""
        return bool(self.number(name, float(default)))

    def text(self, name: str, default: str) -> str:
        """Return a field with a text."""
        value = self.fields.get(name)
        if value is None or (not isinstance(value, str) and len(as_list(value)) == 0):
            return default
        if not isinstance(value, str):
            raise ValueError(  # noqa: TRY004 - content of a file
                f"{name} must be a text, got {shortened(repr(value))}"
            )
        return value or default
