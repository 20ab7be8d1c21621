"""Activations: functions that a layer applies to each element of its output.

`ACTIVATIONS` lists the classes of activations with parameters. The name "relu" stands for
sigma(x) = max(x, 0), equation (3) of the notes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np

from .arguments import as_real
from .encoding import CLIP, LEAKY, NO_ACTIVATION, RELU


@dataclass(frozen=True)
class LeakyReLU:
    """Leaky ReLU: sigma(x) = x for x > 0, otherwise slope x.

    Parameters
    ----------
    slope : float
        From 1e-45 to 1e38. It is positive because the backward pass computes the derivative from
        the sign of sigma(x).

    Raises
    ------
    TypeError, ValueError
        If the slope is not a number, or out of range.

    References
    ----------
    A. L. Maas, A. Y. Hannun, A. Y. Ng, "Rectifier nonlinearities improve neural network acoustic
    models" (2013).
    """

    kind: ClassVar[str] = "LeakyReLU"
    slope: float = 0.01

    def __post_init__(self) -> None:
        slope = as_real(f"{self.kind}: slope", self.slope)
        # neither 0 nor infinite as a float32
        if not 0 < np.float32(min(slope, 1e38)) or not 0 < slope < 1e38:
            raise ValueError(f"{self.kind}: slope must be from 1e-45 to 1e38, got {slope:g}")
        object.__setattr__(self, "slope", slope)

    def code(self) -> tuple[int, float, float]:
        """Return (code, alpha, beta), which describe the activation to compiled code."""
        return LEAKY, self.slope, 0.0


@dataclass(frozen=True)
class Clip:
    """Clipping: sigma(x) = min(max(x, lo), hi). ``Clip(0, 6)`` is known as ReLU6.

    Parameters
    ----------
    lo, hi : float
        Bounds, lo < hi; either may be infinite.

    Raises
    ------
    TypeError, ValueError
        If a bound is not a number, or lo is not below hi.
    """

    kind: ClassVar[str] = "Clip"
    lo: float = 0.0
    hi: float = inf

    def __post_init__(self) -> None:
        lo, hi = as_real(f"{self.kind}: lo", self.lo), as_real(f"{self.kind}: hi", self.hi)
        if not lo < hi:
            raise ValueError(f"{self.kind}: lo must be below hi, got {lo:g} and {hi:g}")
        object.__setattr__(self, "lo", lo)
        object.__setattr__(self, "hi", hi)

    def code(self) -> tuple[int, float, float]:
        """Return (code, alpha, beta), which describe the activation to compiled code."""
        return CLIP, self.lo, self.hi


ActivationFunction = LeakyReLU | Clip

# every class of activations; descriptions name a class by its kind
ACTIVATIONS: dict[str, type[ActivationFunction]] = {one.kind: one for one in (LeakyReLU, Clip)}


def as_activation(kind: str, activation: Any) -> str | ActivationFunction | None:
    """Return an activation, checked; the dict of a description is converted to its object.

    Parameters
    ----------
    kind : str
        Beginning of the error message.
    activation : "relu", an instance of a class in `ACTIVATIONS`, dict or None

    Raises
    ------
    ValueError
        If it is not an activation.
    """
    if activation is None or type(activation) in ACTIVATIONS.values():
        return activation  # type: ignore[no-any-return]
    if isinstance(activation, dict):
        return _from_dict(kind, activation)
    if isinstance(activation, type) and activation in ACTIVATIONS.values():
        name = activation.__name__
        raise ValueError(
            f"{kind}: activation must be an instance, {name}(...), got the class {name}"
        )
    if not isinstance(activation, str) or activation != "relu":
        raise ValueError(
            f"{kind}: activation must be 'relu', {', '.join(ACTIVATIONS)} or None, "
            f"got {activation!r}"
        )
    return str(activation)


def _from_dict(kind: str, entry: dict[Any, Any]) -> ActivationFunction:
    """Return the activation of ``{"kind": "LeakyReLU", "slope": 0.1}``."""
    found = ACTIVATIONS.get(entry.get("kind"))  # type: ignore[arg-type]
    if found is None:
        raise ValueError(f"{kind}: activation must be one of {', '.join(ACTIVATIONS)}, got {entry}")
    names = [field.name for field in dataclasses.fields(found)]
    unknown = sorted(str(key) for key in entry.keys() - {"kind", *names})
    if unknown:
        raise ValueError(
            f"{kind}: activation {found.kind} has no {', '.join(unknown)}, only {', '.join(names)}"
        )
    try:
        return found(**{key: value for key, value in entry.items() if key != "kind"})
    except TypeError as error:
        raise ValueError(f"{kind}: activation {entry}: {error}") from error


def activation_code(activation: str | ActivationFunction | None) -> tuple[int, float, float]:
    """Return (code, alpha, beta), which describe an activation to compiled code."""
    if activation is None:
        return NO_ACTIVATION, 0.0, 0.0
    return (RELU, 0.0, 0.0) if isinstance(activation, str) else activation.code()


def activation_entry(activation: str | ActivationFunction | None) -> Any:
    """Return an activation as JSON-able data, which `as_activation` takes."""
    if activation is None or isinstance(activation, str):
        return activation
    return {"kind": activation.kind, **vars(activation)}
