"""Layers in words, and as JSON-able data and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from .layers import KINDS, Layer

# of the table of layers: layer, output, parameters, place in theta, multiply-adds
Row = tuple[str, str, str, str, str]


def shape_text(shape: Iterable[int]) -> str:
    """``8 x 8 x 1``."""
    return " x ".join(map(str, shape))


def layer_text(layer: Layer) -> str:
    """``Conv(20, kernel=5, relu)``: what differs from the defaults, and the activation.

    The kind alone for a class that is not one of `KINDS`.
    """
    if not _is_known(layer):
        return layer.kind
    shown: list[str] = []
    defaults = {field.name: field.default for field in dataclasses.fields(layer)}
    for name, value in layer.arguments().items():
        if name == "activation":
            shown += [value] if value else []
        elif not shown:
            shown.append(str(value))
        elif value != defaults[name]:
            shown.append(f"{name}={value}")
    return f"{layer.kind}({', '.join(shown)})"


def layer_table(first: Row, layers: list[Row], last: Row) -> list[str]:
    """Lines of a table: what comes in, the layers, the totals under a rule."""
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
    """``{"kind": "Conv", "channels": 20, ...}``; `layer_from` is the inverse.

    Parameters
    ----------
    k : int
        Index of the layer, for the error message.
    layer : Layer

    Raises
    ------
    TypeError
        The class is not one of `KINDS`: a subclass may compute something else.
    ValueError
        The entry does not describe the layer.
    """
    if not _is_known(layer):
        raise TypeError(
            f"Network: layer {k} ({layer.kind}) cannot be described: its class must be one of "
            f"{', '.join(KINDS)}, got {type(layer).__qualname__}"
        )
    fields = layer.arguments()
    if fields.get("algorithm", "") is None:
        del fields["algorithm"]
    entry = {"kind": layer.kind, **{name: _as_list(value) for name, value in fields.items()}}
    if layer_from(k, entry) != layer:
        raise ValueError(f"Network: layer {k} ({layer.kind}) has changed: {layer!r}")
    return entry


def _is_known(layer: Any) -> bool:
    """Whether a layer is of one of `KINDS`, not of a subclass."""
    return KINDS.get(layer.kind) is type(layer)


def _as_list(value: Any) -> Any:
    """Tuples as lists: what JSON holds."""
    return [_as_list(entry) for entry in value] if isinstance(value, tuple) else value


def check_keys(name: str, entry: Any, needed: set[str], optional: set[str]) -> None:
    """Raise a ValueError unless entry is a dict with all needed keys and no unknown ones."""
    if not isinstance(entry, dict):
        raise ValueError(f"{name}: a table is expected, got {entry!r}")  # noqa: TRY004
    missing, unknown = needed - entry.keys(), entry.keys() - needed - optional
    if missing or unknown:
        words = [f"missing {', '.join(sorted(missing))}"] if missing else []
        words += [f"unknown {', '.join(sorted(map(str, unknown)))}"] if unknown else []
        raise ValueError(f"{name}: {'; '.join(words)}")


def layer_from(k: int, entry: Any) -> Layer:
    """The layer that `layer_entry` described; k is its index, for the ValueError."""
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"layer {k}: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    fields = dataclasses.fields(KINDS[kind])
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    check_keys(f"layer {k} ({kind})", entry, needed | {"kind"}, {field.name for field in fields})
    try:
        layer = KINDS[kind](**{key: value for key, value in entry.items() if key != "kind"})
    except (TypeError, ValueError, OverflowError) as error:
        problem = str(error).removeprefix(f"{kind}: ")
        raise ValueError(f"layer {k} ({kind}): {problem}") from error
    return layer
