"""Factors of parameters: one number, one for each element of theta, or a dict by layer and kind.

`Objective` takes them as ``penalty``, stochastic gradient descent as ``rates``. In a dict a key is

* the name of a layer, "conv1": all its own parameters;
* a kind of parameters, "weights", "biases", "gains" or "slopes": those of all layers;
* both, "conv1.weights".

Parameters that no key names have the factor 1. Entries are applied in order; where two name the same
parameters, the later one replaces the earlier one: ``{"biases": 0, "dense3.biases": 1}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .arguments import as_number, refuse_masked

# kinds of parameters, by the names of the arrays
KINDS = {"W": "weights", "b": "biases", "bias": "biases", "gain": "gains", "slope": "slopes"}

# a number, a dict of numbers, or an array; checked
Factors = float | dict[str, float] | np.ndarray


class Run(NamedTuple):
    """Elements start, ..., stop - 1 of theta, with their factor or an array of their factors."""

    start: int
    stop: int
    factor: float | np.ndarray


def kind_of(array: str) -> str:
    """Return the kind of parameters of an array.

    >>> kind_of("W"), kind_of("bias")
    ('weights', 'biases')
    """
    return KINDS.get(array, array)


def as_factors(name: str, value: Any) -> Factors:
    """Return factors as a float, a dict of floats or a read-only vector of float64.

    Parameters
    ----------
    name : str
        Beginning of every message.
    value : number, mapping of str to number, or array of numbers

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the value is of another kind, or a factor is negative or not finite.
    """
    refuse_masked(name, value)
    if isinstance(value, Mapping):
        factors = {}
        for key, one in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{name}: keys must be str, got {key!r} ({type(key).__name__})")
            factors[key] = as_number(f"{name}[{key!r}]", one)
        return factors
    if isinstance(value, str):
        raise TypeError(f"{name} must be a number, a dict or an array, got {value!r} (str)")
    if np.ndim(value) == 0:
        return as_number(name, value)
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be an array of real numbers, got {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must be a vector, got shape {array.shape}")
    array = array.astype(np.float64)
    wrong = ~((array >= 0) & (array < np.inf))
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"{name} must be at least 0 and finite, got {array[first]:g} at index {first}"
        )
    array.flags.writeable = False
    return array


def parse_factors(text: str) -> float | dict[str, float]:
    """Return the factors that a text describes: "0.5", or "biases=0,conv1=2".

    Raises
    ------
    ValueError
        If it is no such text.

    Examples
    --------
    >>> parse_factors("biases=0,conv1=2")
    {'biases': 0.0, 'conv1': 2.0}
    """
    if "=" not in text:
        return float(text)
    pairs = [part.rpartition("=") for part in text.split(",")]
    return {name.strip(): float(number) for name, _, number in pairs}


def runs(
    name: str, factors: Factors, n: int, arrays: list[tuple[str, str, int, int]]
) -> list[Run] | None:
    """Return the factors as runs that together are all of theta; None if all factors are 1.

    Parameters
    ----------
    name : str
        Beginning of every message.
    factors : float, dict or ndarray
        The result of `as_factors`.
    n : int
        Length of theta.
    arrays : list of (layer, array, start, stop)
        Names and place of each parameter array, in the order of theta.

    Raises
    ------
    ValueError
        If a vector does not have n elements, or a key names no parameters of the network.

    Examples
    --------
    >>> arrays = [("conv1", "W", 0, 6), ("conv1", "b", 6, 8), ("dense2", "W", 8, 20)]
    >>> runs("penalty", {"weights": 2.0, "dense2": 1.0}, 20, arrays)
    [Run(start=0, stop=6, factor=2.0), Run(start=6, stop=20, factor=1.0)]
    """
    if isinstance(factors, np.ndarray):
        if len(factors) != n:
            raise ValueError(
                f"{name} must have {n} elements, one for each parameter, got {len(factors)}"
            )
        return None if (factors == 1).all() else [Run(0, n, factors)]
    if not isinstance(factors, dict):
        return None if factors == 1 else [Run(0, n, factors)]
    found = [1.0] * len(arrays)
    for key, factor in factors.items():
        for k in _named(name, key, arrays):
            found[k] = factor
    merged: list[Run] = []
    for (_, _, start, stop), factor in zip(arrays, found):
        if merged and merged[-1].factor == factor:
            start = merged.pop().start
        merged.append(Run(start, stop, factor))
    return None if all(run.factor == 1 for run in merged) else merged


def _named(name: str, key: str, arrays: list[tuple[str, str, int, int]]) -> list[int]:
    """Return the indices of the arrays that a key names; none for a kind that does not occur."""
    layers = dict.fromkeys(layer for layer, *_ in arrays)
    kinds = dict.fromkeys([*KINDS.values(), *(kind_of(array) for _, array, *_ in arrays)])
    layer, dot, kind = key.rpartition(".")
    if key in layers:
        layer, kind = key, ""
    elif key in kinds:
        layer, kind = "", key
    elif not (dot and layer in layers and kind in kinds):
        raise ValueError(
            f"{name}: {key!r} names no parameters of the network; expected a layer "
            f"({', '.join(layers) or 'none'}), a kind ({', '.join(kinds)}) or 'layer.kind'"
        )
    return [
        k
        for k, (owner, array, *_) in enumerate(arrays)
        if layer in ("", owner) and kind in ("", kind_of(array))
    ]
