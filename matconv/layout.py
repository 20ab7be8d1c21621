"""Where every W and b sits in theta: one table, which theta and its gradient share.

theta = [vec(W^1); b^1; ...; vec(W^L); b^L]
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .kernels.arrays import as_array
from .layers import BoundLayer, Layer


class Place(NamedTuple):
    """Where a layer's parameters sit in theta: W[start:middle], b[middle:stop]."""

    start: int
    middle: int
    stop: int


class Layout:
    """The places of a network's parameters, and what can be made of a theta by them.

    Parameters
    ----------
    layers, bound : the layers as described, and on their images
    dtype : float64 or float32

    Attributes
    ----------
    places : list of Place or None
        Of each layer; None without parameters.
    n : int
        Length of theta.

    Raises
    ------
    ValueError
        A layer has W without b, or b without W.
    """

    def __init__(self, layers: tuple[Layer, ...], bound: list[BoundLayer], dtype: np.dtype) -> None:
        self._layers = layers
        self._bound = bound
        self.dtype = dtype
        self.places: list[Place | None] = []
        self.n = 0
        for k, one in enumerate(bound):
            if one.W_shape is None and one.b_shape is None:
                self.places.append(None)
                continue
            if one.W_shape is None or one.b_shape is None:
                raise ValueError(
                    f"Network: layer {k} ({layers[k].kind}) must have both W and b or neither, "
                    f"got W_shape {one.W_shape} and b_shape {one.b_shape}"
                )
            middle = self.n + prod(one.W_shape)
            self.places.append(Place(self.n, middle, middle + prod(one.b_shape)))
            self.n = middle + prod(one.b_shape)

    def random(self, seed: int | None) -> np.ndarray:
        """A theta as `Network.init` says."""
        random = np.random.default_rng(seed)
        theta = np.zeros(self.n, self.dtype)
        for bound, place in zip(self._bound, self.places):
            if place is not None:
                W = random.standard_normal(place.middle - place.start)
                theta[place.start : place.middle] = W * np.sqrt(2 / bound.fan_in)
        return theta

    def views(self, theta: np.ndarray) -> list[tuple[Any, Any]]:
        """(W, b) views for every layer, (None, None) for those without parameters."""
        return [
            (None, None)
            if place is None
            else (
                theta[place.start : place.middle].reshape(bound.W_shape),
                theta[place.middle : place.stop],
            )
            for bound, place in zip(self._bound, self.places)
        ]

    def packed(self, parameters: Iterable[tuple[Any, Any]]) -> np.ndarray:
        """A theta of a (W, b) for each layer that has them, checked."""
        parameters = list(parameters)
        theta = np.empty(self.n, self.dtype)
        owners = [(k, views) for k, views in enumerate(self.views(theta)) if views[0] is not None]
        if len(parameters) != len(owners):
            raise ValueError(
                f"Network: {len(owners)} pairs (W, b) expected, one per layer with parameters, "
                f"got {len(parameters)}"
            )
        for (k, views), pair in zip(owners, parameters):
            for name, value, view in zip("Wb", pair, views):
                function = f"layer {k} ({self._layers[k].kind})"
                array = as_array(function, name, value)
                self.check_dtype(f"{function}: {name}", array)
                if array.shape != view.shape:
                    raise ValueError(
                        f"{function}: {name} must have shape {view.shape}, got {array.shape}"
                    )
                view[...] = array
        return theta

    def check_dtype(self, name: str, array: np.ndarray) -> None:
        """Raise TypeError unless an array is of the network's dtype, in any byte order."""
        if array.dtype.newbyteorder("=") != self.dtype:
            raise TypeError(f"{name} is {array.dtype}, the network computes in {self.dtype}")

    def check(self, theta: np.ndarray) -> None:
        """Raise unless theta is a vector of n numbers of the network's dtype."""
        self.check_dtype("Network: theta", theta)
        if theta.ndim != 1:
            raise ValueError(f"Network: theta must be a vector, got shape {theta.shape}")
        if len(theta) != self.n:
            raise ValueError(
                f"Network: theta must have {self.n} numbers, one per parameter, got {len(theta)}"
            )
