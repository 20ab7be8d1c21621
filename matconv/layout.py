"""Layout of theta and of its gradient: the place of each layer's parameters.

theta = [vec(W^1); b^1; ...; vec(W^L); b^L]
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .graph import Node
from .kernels._arrays import as_array


class Place(NamedTuple):
    """Place of a layer's parameters: the elements start, ..., stop - 1 of theta."""

    start: int
    stop: int


class Layout:
    """Places of a network's parameters in theta.

    Parameters
    ----------
    nodes : list of Node
    fan_in : list of int
        Number of inputs of one output, for each layer.
    dtype : float64 or float32

    Attributes
    ----------
    places : list of Place or None
        One for each layer; None for a layer without parameters of its own.
    n : int
        Length of theta.
    """

    def __init__(self, nodes: list[Node], fan_in: list[int], dtype: np.dtype) -> None:
        self._nodes = nodes
        self._fan_in = fan_in
        self.dtype = dtype
        self.places: list[Place | None] = []
        self.n = 0
        for node in nodes:
            size = sum(prod(array.shape) for array in node.arrays)
            if size == 0 or node.record.owner is not None:
                self.places.append(None)
                continue
            self.places.append(Place(self.n, self.n + size))
            self.n += size

    def random(self, seed: int | None) -> np.ndarray:
        """Return a random theta; see `Network.init`."""
        random = np.random.default_rng(seed)
        theta = np.zeros(self.n)
        for k, arrays in self.views(theta):
            self._nodes[k].layer.initial(random, list(arrays), self._fan_in[k])
        return theta.astype(self.dtype, copy=False)

    def views(self, theta: np.ndarray) -> list[tuple[int, Any]]:
        """Return (index, named tuple of views) for each layer with parameters of its own."""
        found = []
        for k, (node, place) in enumerate(zip(self._nodes, self.places)):
            if place is None:
                continue
            at, arrays = place.start, []
            for array in node.arrays:
                stop = at + prod(array.shape)
                arrays.append(theta[at:stop].reshape(array.shape))
                at = stop
            names = tuple(array.name for array in node.arrays)
            found.append((k, _parameters_type(names)(*arrays)))
        return found

    def arrays(self) -> list[tuple[str, str, int, int]]:
        """Return (layer, array, start, stop) of each parameter array: its names and its place."""
        found = []
        for node, place in zip(self._nodes, self.places):
            at = 0 if place is None else place.start
            for array in node.arrays if place is not None else ():
                found.append((node.name, array.name, at, at + prod(array.shape)))
                at += prod(array.shape)
        return found

    def packed(self, parameters: Iterable[Any]) -> np.ndarray:
        """Return theta, made from the arrays of each layer with parameters of its own.

        Raises
        ------
        TypeError, ValueError
            If the number of arrays, a dtype or a shape is wrong.
        """
        parameters = list(parameters)
        theta = np.empty(self.n, self.dtype)
        owners = self.views(theta)
        if len(parameters) != len(owners):
            raise ValueError(
                f"Network: {len(owners)} tuples of parameters expected, one per layer with "
                f"parameters, got {len(parameters)}"
            )
        for (k, views), given in zip(owners, parameters):
            layer = self._nodes[k].layer
            function = f"layer {k} ({layer.kind})"
            if len(given) != len(views):
                raise ValueError(
                    f"{function}: {', '.join(views._fields)} expected, got {len(given)} arrays"
                )
            for name, value, view in zip(views._fields, given, views):
                array = as_array(function, name, value)
                self.check_dtype(f"{function}: {name}", array)
                if array.shape != view.shape:
                    raise ValueError(
                        f"{function}: {name} must have shape {view.shape}, got {array.shape}"
                    )
                view[...] = array
        return theta

    def check_dtype(self, name: str, array: np.ndarray) -> None:
        """Raise TypeError unless an array has the network's dtype, in any byte order."""
        if array.dtype.newbyteorder("=") != self.dtype:
            raise TypeError(f"{name} is {array.dtype}, the network computes in {self.dtype}")

    def check(self, theta: np.ndarray) -> None:
        """Raise TypeError or ValueError unless theta has shape (n,) and the network's dtype."""
        self.check_dtype("Network: theta", theta)
        if theta.ndim != 1:
            raise ValueError(f"Network: theta must be a vector, got shape {theta.shape}")
        if len(theta) != self.n:
            raise ValueError(
                f"Network: theta must have {self.n} elements, one for each parameter, got {len(theta)}"
            )


@cache
def _parameters_type(names: tuple[str, ...]) -> Any:
    """Return the class of named tuples with these fields."""
    return namedtuple("Parameters", names)
