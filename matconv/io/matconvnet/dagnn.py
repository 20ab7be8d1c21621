"""The layers of a DagNN: structs with the names of the variables and parameters that they use."""

from __future__ import annotations

from typing import Any

import numpy as np

from matconv.files.regular import shortened

from .fields import Entry, as_list, text_of

__all__ = ["dagnn_entries", "in_order", "is_dagnn"]

# names of the classes, as SimpleNN names their types
_TYPES = {
    "dagnn.Conv": "conv",
    "dagnn.ConvTranspose": "convt",
    "dagnn.Pooling": "pool",
    "dagnn.ReLU": "relu",
    "dagnn.Sigmoid": "sigmoid",
    "dagnn.Tanh": "tanh",
    "dagnn.LRN": "lrn",
    "dagnn.BatchNorm": "bnorm",
    "dagnn.DropOut": "dropout",
    "dagnn.SoftMax": "softmax",
    "dagnn.Scale": "scale",
    "dagnn.Crop": "crop",
    "dagnn.Concat": "concat",
    "dagnn.Sum": "sum",
    "dagnn.Loss": "loss",
}
# fields of blocks that have other names in SimpleNN
_FIELDS = {"poolSize": "pool"}


def is_dagnn(net: dict[str, Any]) -> bool:
    """Return whether a struct is a DagNN rather than a SimpleNN."""
    return "vars" in net and "layers" in net and "params" in net


def _values(net: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters by name."""
    found = {}
    for param in as_list(net["params"]):
        if isinstance(param, dict):
            found[text_of(param.get("name"))] = param.get("value")
    return found


def _texts(value: Any) -> list[str]:
    texts = as_list(value) if not isinstance(value, str) else [value] if value else []
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"names must be texts, got {shortened(repr(texts))}")
    return texts


def _entry(fields: dict[str, Any], where: str, name: str, values: dict[str, Any]) -> Entry:
    inputs, outputs, params = (_texts(fields.get(key)) for key in ("inputs", "outputs", "params"))
    missing = [one for one in params if not isinstance(values.get(one), np.ndarray)]
    if missing:
        raise ValueError(f"parameters {shortened(', '.join(missing))} have no values")
    if len(outputs) != 1:
        raise ValueError(f"one output expected, got {len(outputs)}")
    block = fields.get("block")
    given = block if isinstance(block, dict) else {}
    given = {_FIELDS.get(key, key): value for key, value in given.items()}
    kind = fields["type"]
    kind = _TYPES.get(kind, kind.lower())
    weights = [values[one] for one in params]
    return Entry(where, kind, name, given, weights, inputs, outputs[0], tuple(params))


def dagnn_entries(net: dict[str, Any]) -> tuple[list[Entry], list[str]]:
    """Return the layers of a DagNN in the order of the file, and texts about invalid ones."""
    entries: list[Entry] = []
    problems: list[str] = []
    values = _values(net)
    for k, fields in enumerate(as_list(net["layers"]), 1):
        where = f"layers({k})"
        if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
            problems.append(f"{where} is not a struct with a type")
            continue
        name = text_of(fields.get("name"))
        where += f" {shortened(name)!r}" if name else ""
        where += f" ({shortened(fields['type'])})"
        try:
            entries.append(_entry(fields, where, name, values))
        except ValueError as error:
            problems.append(f"{where}: {error}")
    makers: dict[str, str] = {}
    for entry in entries:
        if entry.output in makers:
            problems.append(
                f"{entry.where}: {entry.output!r} is made by {makers[entry.output]} too"
            )
        makers[entry.output] = entry.where
    return entries, problems


def in_order(entries: list[Entry]) -> tuple[list[Entry], list[str], list[Entry]]:
    """Return layers in an order in which each comes after those that it reads.

    Parameters
    ----------
    entries : list of Entry
        With different outputs.

    Returns
    -------
    ordered : list of Entry
        In the order of ``entries`` as far as possible.
    sources : list of str
        Names of the values that no layer makes.
    cyclic : list of Entry
        A layer that depends on itself, if there is one.
    """
    makers = {entry.output: k for k, entry in enumerate(entries)}
    read = [value for entry in entries for value in entry.inputs]
    sources = [value for value in dict.fromkeys(read) if value not in makers]
    ordered: list[Entry] = []
    state = [0] * len(entries)  # 0 not visited, 1 waiting for its inputs, 2 done
    for first in range(len(entries)):
        stack = [first]
        while stack:
            k = stack[-1]
            if state[k] == 2:
                stack.pop()
                continue
            needed = [makers[v] for v in entries[k].inputs if v in makers]
            waiting = [j for j in needed if state[j] != 2]
            if state[k] == 1 and any(state[j] == 1 for j in waiting):
                return ordered, sources, [entries[k]]
            if waiting:
                state[k] = 1
                stack += reversed(waiting)
                continue
            state[k] = 2
            ordered.append(entries[k])
            stack.pop()
    return ordered, sources, []
