"""The layers of a SimpleNN: a cell of structs, each of which reads the one before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from matconv.files.regular import shortened

from .fields import Entry, as_list, text_of

__all__ = ["simplenn_entries"]

# weights in the files of early versions, a field each
_OLD_WEIGHTS = ("filters", "biases", "moments")
# name of the value that the first layer reads
INPUT = "input"


def _weights(fields: dict[str, Any]) -> list[np.ndarray]:
    """Return the arrays of a layer, empty ones included."""
    found = as_list(fields.get("weights", []))
    if not found:
        found = [fields[name] for name in _OLD_WEIGHTS if name in fields]
    arrays = []
    for array in found:
        if isinstance(array, list) and not array:
            array = np.empty((0, 0))
        if not isinstance(array, np.ndarray):
            raise ValueError(  # noqa: TRY004 - content of a file
                f"weights must be arrays, got {shortened(repr(array))}"
            )
        arrays.append(array)
    return arrays


def simplenn_entries(net: dict[str, Any]) -> tuple[list[Entry], list[str]]:
    """Return the layers of a SimpleNN, and texts about those that are not structs.

    Parameters
    ----------
    net : dict
        With the field "layers".

    Returns
    -------
    entries : list of Entry
    problems : list of str
    """
    entries, problems, last = [], [], INPUT
    for k, fields in enumerate(as_list(net["layers"]), 1):
        where = f"layers{{{k}}}"
        if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
            problems.append(f"{where} is not a struct with a type")
            continue
        name, kind = text_of(fields.get("name")), fields["type"]
        where += f" {shortened(name)!r}" if name else ""
        where += f" ({shortened(kind)})"
        try:
            weights = _weights(fields)
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        output = f"x{k}"
        entries.append(Entry(where, kind.lower(), name, fields, weights, [last], output))
        last = output
    return entries, problems
