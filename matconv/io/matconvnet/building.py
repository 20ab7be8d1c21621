"""From the layers of a file to a Network and its theta."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import shortened
from matconv.layers import Layer
from matconv.network import Network

from .fields import Entry
from .kinds import KINDS, Made

__all__ = ["build_network", "split_losses", "unsupported"]

_MAX_NAMED = 20
# limit of the elements of theta: a multiple of those in the file, and a number
_RATIO, _FREE = 64, 8 * 2**20


@dataclass
class _Built:
    """A layer of the network with its parameters.

    Attributes
    ----------
    layer : Layer
        With its name, and with the names of its inputs.
    arrays : list of ndarray
        Its parameters; None if it uses those of another layer.
    where : str
    """

    layer: Layer
    arrays: Sequence[np.ndarray] | None
    where: str


@dataclass
class _Building:
    """The layers so far, and what is known of their values."""

    built: list[_Built] = field(default_factory=list)
    # name of the layer that makes a value, and the number of its channels
    makers: dict[str, tuple[str, int]] = field(default_factory=dict)
    # names of layers by the names of their parameters and their class
    owners: dict[tuple[Any, ...], str] = field(default_factory=dict)
    names: set[str] = field(default_factory=lambda: {"input"})
    # names of the parameters of a DagNN so far, their elements, and those of the layers
    params: set[str] = field(default_factory=set)
    in_file: int = 0
    in_theta: int = 0

    def count(self, entry: Entry, arrays: Sequence[np.ndarray]) -> None:
        """Raise ValueError if layers repeat parameters, with others beside them, too often."""
        for param, array in zip(entry.params, entry.weights, strict=False):
            self.in_file += 0 if param in self.params else array.size
            self.params.add(param)
        self.in_theta += sum(array.size for array in arrays)
        if entry.params and self.in_theta > _RATIO * self.in_file + _FREE:
            raise ValueError(
                f"with this layer theta has {self.in_theta} elements, "
                f"the parameters in the file {self.in_file}: too many layers repeat them"
            )

    def name(self, wanted: str) -> str:
        """Return a name that no layer has yet."""
        wanted = "".join(c if c.isprintable() else "?" for c in wanted)[:200]
        name, k = wanted, 1
        while name in self.names:
            k += 1
            name = f"{wanted}_{k}"
        self.names.add(name)
        return name

    def add(self, entry: Entry, made: Made) -> None:
        layer, arrays, channels = made
        name = self.name(entry.name or f"layer{len(self.built) + 1}")
        reads = [self.makers[value][0] for value in entry.inputs]
        changes: dict[str, Any] = {"name": name, "inputs": tuple(reads)}
        if layer.shape_of is not None:
            if len(reads) != 2:
                raise ValueError(f"2 inputs expected, got {len(reads)}")
            changes.update(inputs=reads[:1], like=reads[1])
        elif layer.input_limits()[1] == 1 and len(reads) != 1:
            raise ValueError(f"1 input expected, got {len(reads)}")
        key = (layer.kind, *entry.params, *(array.shape for array in arrays))
        owner = self.owners.get(key) if entry.params else None
        if owner is None:
            self.count(entry, arrays)
            self.owners.setdefault(key, name)
        else:
            changes["parameters"] = owner
        self.built.append(_Built(replace(layer, **changes), None if owner else arrays, entry.where))
        self.makers[entry.output] = (name, channels)

    def outputs(self) -> list[str]:
        """Return the names of the layers that no other reads."""
        read = {name for one in self.built for name in _reads(one.layer)}
        return [str(one.layer.name) for one in self.built if one.layer.name not in read]


def _reads(layer: Layer) -> list[str]:
    """Return the names of the layers whose outputs, or whose shapes, a layer reads."""
    return [*(layer.inputs or ()), *([layer.shape_of] if layer.shape_of else [])]


def unsupported(path: FilePath, problems: list[str]) -> None:
    """Raise one FormatError about all problems, if there are any."""
    if problems:
        more = len(problems) - _MAX_NAMED
        text = "; ".join(problems[:_MAX_NAMED]) + (f"; and {more} more" if more > 0 else "")
        raise format_error(path, text)


def split_losses(entries: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Return the layers without losses, and the losses: layers that belong to the training.

    A layer is a loss if its type is unknown, "loss" is a part of it, and nothing but losses after
    it reads it.
    """
    readers = Counter(value for entry in entries for value in entry.inputs)
    kept: list[Entry] = []
    losses: list[Entry] = []
    for entry in reversed(entries):
        if entry.kind not in KINDS and "loss" in entry.kind and not readers[entry.output]:
            readers.subtract(entry.inputs)
            losses.append(entry)
        else:
            kept.append(entry)
    return kept[::-1], losses[::-1]


def build_network(
    path: FilePath,
    entries: list[Entry],
    source: str,
    input_shape: tuple[int, ...],
    dtype: Any,
    outputs: Sequence[str] = (),
) -> tuple[Network, np.ndarray]:
    """Return the network of layers in an order in which each comes after those it reads.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        For messages.
    entries : list of Entry
        Of known types, without losses.
    source : str
        Name of the value that is the image.
    input_shape : (height, width, channels)
    dtype : float64 or float32
    outputs : sequence of str
        Names of the values that are the network's outputs. By default those that no layer reads.

    Returns
    -------
    net : Network
    theta : ndarray

    Raises
    ------
    FormatError
        About the first layer whose fields are invalid or that does not fit the others.
    """
    building = _Building(makers={source: ("input", input_shape[2])})
    for entry in entries:
        try:
            if not entry.inputs:
                raise ValueError("it has no inputs")
            channels = [building.makers[value][1] for value in entry.inputs]
            building.add(entry, KINDS[entry.kind](entry, channels))
        except (ValueError, TypeError, OverflowError) as error:
            raise format_error(path, f"{entry.where}: {shortened(error, 300)}") from error
    if not building.built:
        raise format_error(path, "the network has no layers")
    missing = [value for value in outputs if value not in building.makers or value == source]
    if missing:
        raise format_error(path, f"no layer makes the output {shortened(missing[0])!r}")
    found = [building.makers[value][0] for value in outputs] or building.outputs()
    built = _with_activations(building.built, found)
    given = None if found == [built[-1].layer.name] else found
    try:
        net = Network(input_shape, [one.layer for one in _unnamed(built)], dtype, outputs=given)
        return net, net.pack(_parameters(built, net))
    except (ValueError, TypeError, OverflowError) as error:
        raise format_error(path, f"the layers do not fit: {shortened(error, 400)}") from error


def _parameters(built: list[_Built], net: Network) -> list[tuple[np.ndarray, ...]]:
    owned = [
        one.arrays for one, place in zip(built, net.layout.places, strict=True) if place is not None
    ]
    with np.errstate(all="ignore"):
        return [tuple(np.asarray(array, net.dtype) for array in arrays or ()) for arrays in owned]


def _with_activations(built: list[_Built], outputs: list[str]) -> list[_Built]:
    """Make an activation part of the layer before it, where nothing else reads that layer.

    ``outputs`` gets the new names.
    """
    readers = dict.fromkeys(outputs, 1)
    for one in built:
        for name in _reads(one.layer):
            readers[name] = readers.get(name, 0) + 1
    places = {str(one.layer.name): k for k, one in enumerate(built)}
    found, renamed = list(built), {}
    for k, one in enumerate(built):
        layer = found[k].layer
        read = _reads(layer)[0]
        if layer.kind != "Activation" or read not in places or readers[read] != 1:
            continue
        before = found[places[read]]
        if getattr(before.layer, "activation", "none") is not None:
            continue
        activation = layer.activation  # type: ignore[attr-defined]
        found[places[read]] = replace(before, layer=replace(before.layer, activation=activation))  # type: ignore[call-arg]
        renamed[str(layer.name)] = read
    outputs[:] = [renamed.get(name, name) for name in outputs]
    kept = [one for one in found if one.layer.name not in renamed]
    return [replace(one, layer=_renamed(one.layer, renamed)) for one in kept]


def _renamed(layer: Layer, names: dict[str, str]) -> Layer:
    """Return a layer that reads the layers with the new names."""
    changes: dict[str, Any] = {"inputs": [names.get(name, name) for name in layer.inputs or ()]}
    if layer.shape_of in names:
        changes["like"] = names[layer.shape_of]
    return replace(layer, **changes)


def _unnamed(built: list[_Built]) -> list[_Built]:
    """Leave out the inputs of layers that read the one before them."""
    before, found = "input", []
    for one in built:
        layer = one.layer
        if layer.input_limits()[0] == 1 and tuple(layer.inputs or ()) == (before,):
            layer = replace(layer, inputs=None)
        before = str(layer.name)
        found.append(replace(one, layer=layer))
    return found
