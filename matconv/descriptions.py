"""Layers in words, and as JSON-able data and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from .layers import KINDS, Layer

# of the table of layers: layer, output, parameters, place in theta, multiply-adds
Row = tuple[str, str, str, str, str]


def shape_text(shape: Iterable[int]) -> str:
    """``8 x 8 x 1``."""
    return " x ".join(map(str, shape))


def layer_text(layer: Layer) -> str:
    """``Conv(20, kernel=5, relu)``: what differs from the defaults, and the activation."""
    shown: list[str] = []
    for field in dataclasses.fields(layer):
        value = getattr(layer, field.name)
        if field.name == "activation":
            shown += [value] if value else []
        elif not shown:
            shown.append(str(value))
        elif value != field.default:
            shown.append(f"{field.name}={value}")
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


def layer_entry(layer: Layer) -> dict[str, Any]:
    """``{"kind": "Conv", "channels": 20, ...}``; `layer_from` is the inverse."""
    fields = dataclasses.asdict(layer)  # type: ignore[call-overload]
    if fields.get("algorithm", "") is None:
        del fields["algorithm"]
    return {"kind": layer.kind, **{name: _plain(value) for name, value in fields.items()}}


def _plain(value: Any) -> Any:
    """Tuples as lists, numpy integers as int: what JSON holds."""
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


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
    return KINDS[kind](**{key: value for key, value in entry.items() if key != "kind"})
