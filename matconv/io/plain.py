"""Conversion of values to types that JSON has.

`exact` refuses values without an equivalent; `Converter` replaces them by text.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

import numpy as np

from matconv.arguments import refuse_masked
from matconv.files.regular import shortened

__all__ = ["Converter", "TooLarge", "encode", "exact"]

_SIMPLE = frozenset((str, bool, float, type(None)))
# Python limits the number of digits of an integer in a text; a program may lower the limit to 640.
MAX_INT = 2**2048
MAX_DEPTH = 50
_MAX_TEXT = 200
_MAX_NOTES = 3


class TooLarge(Exception):
    """A value has more elements than are allowed."""


def encode(value: Any) -> str:
    """Return the JSON text of a value: ASCII, no spaces, sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def exact(value: Any, where: str) -> Any:
    """Return a value that JSON can represent and that is equal to ``value``, or raise TypeError.

    NumPy's scalars and arrays, and tuples, are converted.
    """
    refuse_masked(f"save_model: {where}", value)
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"save_model: {where} has the key {key!r}, expected a str")
        return {key: exact(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [exact(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"save_model: {where} is a {type(value).__name__}, which JSON cannot hold")


class Converter:
    """Conversion of values of any type to values that JSON can represent.

    NumPy's scalars and arrays, objects with ``__array__`` or ``__float__``, tuples and paths have
    an equivalent; masked elements become None. Everything else is replaced by text: sets, complex
    numbers, bytes, integers of more than 2048 bits, a list that contains itself, values nested
    deeper than 50 levels, and keys that are not str.
    """

    def __init__(self) -> None:
        self._replaced = 0
        self._notes: list[str] = []
        self._left = 0
        # ids of the containers that are being converted, to find one that contains itself
        self._open: set[int] = set()

    def convert(self, value: Any, where: str, max_elements: int) -> Any:
        """Return a value that JSON can represent.

        Parameters
        ----------
        value : object
        where : str
            Name of the value in the texts of `problems`.
        max_elements : int
            Maximum number of elements of all lists and dicts together.

        Raises
        ------
        TooLarge
            If there are more elements.
        """
        self._left = max_elements
        return self._convert(value, where)

    def problems(self) -> list[str]:
        """Return texts for a warning about the values replaced so far."""
        if not self._replaced:
            return []
        more = self._replaced - len(self._notes)
        names = ", ".join(self._notes) + (f" (and {more} more)" if more else "")
        return [f"{names}, which JSON cannot hold; saved as text"]

    def _convert(self, value: Any, where: str) -> Any:
        kind = type(value)
        if kind in _SIMPLE or (kind is int and -MAX_INT < value < MAX_INT):
            return value
        if isinstance(value, dict | list | tuple):
            return self._container(value, where)
        if isinstance(value, np.ndarray):
            return self._array(value, where)
        found = None
        # A method of an unknown object may raise anything.
        with suppress(Exception):
            found = _equivalent(value)
        if isinstance(found, np.ndarray):
            return self._array(found, where)
        return self._text(value, where) if found is None else found

    def _container(self, value: Any, where: str) -> Any:
        if id(value) in self._open or len(self._open) >= MAX_DEPTH:
            return self._text(value, where)
        self._left -= len(value)
        if self._left < 0:
            raise TooLarge
        self._open.add(id(value))
        try:
            if isinstance(value, dict):
                return self._dict(value, where)
            return [
                item if type(item) in _SIMPLE else self._convert(item, f"{where}[{i}]")
                for i, item in enumerate(value)
            ]
        finally:
            self._open.discard(id(value))

    def _dict(self, value: dict[Any, Any], where: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in value.items():
            name = key
            if isinstance(key, str):
                name = str.__str__(key)
            else:
                name = self._text(key, f"a key of {where}", is_key=True)
                while name in value or name in result:
                    name += "'"
            if type(item) not in _SIMPLE:
                item = self._convert(item, f"{where}[{name!r}]")
            result[name] = item
        return result

    def _array(self, value: np.ndarray, where: str) -> Any:
        if value.size > self._left:
            raise TooLarge
        if value.dtype.kind == "f":
            # tolist() leaves an np.longdouble as it is.
            value = value.astype(np.float64)
        return self._convert(value.tolist(), where)

    def _text(self, value: Any, where: str, is_key: bool = False) -> str:
        self._replaced += 1
        if len(self._notes) < _MAX_NOTES:
            self._notes.append(f"{shortened(where)} is a {type(value).__name__}")
        # not the repr of a list or dict, which may be arbitrarily long; a key cannot contain itself
        if is_key or not isinstance(value, dict | list | tuple):
            # An unknown object may raise anything, an integer of too many digits ValueError.
            with suppress(Exception):
                return shortened(repr(value), _MAX_TEXT)
        return f"<{type(value).__name__}>"


def _equivalent(value: Any) -> Any:
    """Return the equivalent of an object in JSON or NumPy, or None."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        number = int(value)
        return number if -MAX_INT < number < MAX_INT else None
    if isinstance(value, np.generic) and not isinstance(value, np.floating):
        return None
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if hasattr(value, "__array__") and not isinstance(value, np.generic):
        array = np.asarray(value)
        # An array of objects may contain the object itself.
        return None if array.dtype == object else array
    return float(value) if hasattr(value, "__float__") else None
