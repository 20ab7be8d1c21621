"""Descriptions of layers as text and as JSON-able data."""

from __future__ import annotations

import dataclasses
from typing import Any

from .activations import activation_entry
from .layers import LAYERS, Layer, Normal
from .layers.base import HIDDEN

# row of the table of layers: layer, output, parameters, place in theta, multiply-adds
Row = tuple[str, str, str, str, str]

# arguments that a description omits if they have their default values
OPTIONAL = ("algorithm", *HIDDEN)


def layer_text(layer: Layer, name: str | None = None) -> str:
    """Return a text like ``Conv(20, kernel=5, relu)``, or with a name ``conv1: Conv(...)``.

    The text has the activation and the arguments that differ from their default values, except
    ``init``.
    """
    shown: list[str] = []
    defaults = {field.name: field.default for field in dataclasses.fields(layer)}
    for argument, value in layer.arguments().items():
        if argument == "activation":
            shown += [] if value is None else [str(value)]
        elif argument in ("name", "init") or value == defaults[argument]:
            continue
        elif not shown and defaults[argument] is dataclasses.MISSING:
            shown.append(str(value))
        elif argument == "inputs":
            names = (value,) if isinstance(value, str) else value
            shown.append(f"inputs={' + '.join(names)}")
        else:
            shown.append(f"{argument}={value}")
    text = f"{layer.kind}({', '.join(shown)})"
    return text if name is None else f"{name}: {text}"


def layer_table(first: Row, layers: list[Row], last: Row) -> list[str]:
    """Return the lines of a table: headings, the input, the layers, the totals."""
    rows = [("layer", "output", "parameters", "theta", "multiply-adds"), first, *layers, last]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join(f"{cell:{align}{width}}" for cell, align, width in zip(row, "<<>>>", widths))
        for row in rows
    ]
    rule = "-" * len(lines[0])
    lines[1:] = [rule, *lines[1:-1], rule, lines[-1]]
    return [line.rstrip() for line in lines]


def layer_entry(k: int, layer: Layer) -> dict[str, Any]:
    """Return ``{"kind": "Conv", "channels": 20, ...}``; `layer_from` is the inverse.

    Parameters
    ----------
    k : int
        Index of the layer, for the error message.
    layer : Layer

    Raises
    ------
    TypeError
        If the class is not in `LAYERS`, for instance because it is a subclass.
    ValueError
        If attributes of the layer were changed, so that the entry does not describe it.
    """
    if LAYERS.get(layer.kind) is not type(layer):
        raise TypeError(
            f"Network: layer {k} ({layer.kind}) cannot be described: its class must be one of "
            f"{', '.join(LAYERS)}, got {type(layer).__qualname__}"
        )
    entry = {"kind": layer.kind}
    defaults = {field.name: field.default for field in dataclasses.fields(layer)}
    for name, value in layer.arguments().items():
        if name in OPTIONAL and value == defaults[name]:
            continue
        entry[name] = activation_entry(value) if name == "activation" else _as_list(value)
    if layer_from(k, entry) != layer:
        raise ValueError(f"Network: layer {k} ({layer.kind}) has changed: {layer!r}")
    return entry


def _as_list(value: Any) -> Any:
    """Return a value with lists in place of tuples and dicts of `Normal`, as JSON has them."""
    if isinstance(value, Normal):
        return value.entry()
    return [_as_list(entry) for entry in value] if isinstance(value, tuple) else value


def check_keys(name: str, entry: Any, needed: set[str], optional: set[str]) -> None:
    """Raise ValueError unless ``entry`` is a dict with all needed keys and no unknown ones."""
    if not isinstance(entry, dict):
        raise ValueError(f"{name}: a table is expected, got {entry!r}")  # noqa: TRY004
    missing, unknown = needed - entry.keys(), entry.keys() - needed - optional
    if missing or unknown:
        problems = [f"missing {', '.join(sorted(missing))}"] if missing else []
        problems += [f"unknown {', '.join(sorted(map(str, unknown)))}"] if unknown else []
        raise ValueError(f"{name}: {'; '.join(problems)}")


def layer_from(k: int, entry: Any) -> Layer:
    """Return the layer of an entry made by `layer_entry`; the errors name its index k.

    Raises
    ------
    ValueError
        If something in the entry is missing, unknown or out of range.
    """
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in LAYERS:
        raise ValueError(f"layer {k}: kind must be one of {', '.join(LAYERS)}, got {kind!r}")
    fields = dataclasses.fields(LAYERS[kind])
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    check_keys(f"layer {k} ({kind})", entry, needed | {"kind"}, {field.name for field in fields})
    try:
        layer = LAYERS[kind](**{key: value for key, value in entry.items() if key != "kind"})
    except (TypeError, ValueError, OverflowError) as error:
        problem = str(error).removeprefix(f"{kind}: ")
        raise ValueError(f"layer {k} ({kind}): {problem}") from error
    return layer
