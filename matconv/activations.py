"""Activations: functions that a layer applies to each element of its output.

`FUNCTIONS` lists the activations without parameters, which have names, `ACTIVATIONS` the classes of
those with parameters, and `SHORT_NAMES` the names that stand for an instance of a class. "relu" is
sigma(x) = max(x, 0), equation (3) of the notes. A NaN remains NaN under all of them.

==============  ================================================================
name            sigma(x)
==============  ================================================================
"relu"          max(x, 0)
"sigmoid"       1 / (1 + exp(-x))
"tanh"          tanh x
"softplus"      log(1 + exp x), without overflow
"silu"          x / (1 + exp(-x)), also known as swish
"hard_swish"    x min(max(x / 6 + 1/2, 0), 1)
"gelu"          x (1 + erf(x / sqrt 2)) / 2, not the approximation by tanh
"elu"           ``ELU()``
"hard_sigmoid"  ``HardSigmoid()``
"relu6"         ``Clip(0, 6)``
==============  ================================================================

The derivatives of "silu", "hard_swish" and "gelu" need x: for them training keeps x too, one more
array of the size of the layer's output. The derivatives of the others are computed from sigma(x).
At a kink the derivative is that of the left side; at the upper bound of a Clip or a HardSigmoid, and
of "hard_swish" at 3, it is that of the right side. "silu", "hard_swish" and "gelu" are 0 at
-infinity. Results have errors of a few units in the last place, relative to sigma(x); that of "gelu"
grows with x^2 for negative x, where it is nearly 0.
"""

from __future__ import annotations

import dataclasses
from math import inf
from typing import Any, ClassVar

import numpy as np

from .arguments import as_real
from .encoding import (
    CLIP,
    ELU_CODE,
    GELU,
    HARD_SIGMOID,
    HARD_SWISH,
    LEAKY,
    NO_ACTIVATION,
    RELU,
    SIGMOID,
    SILU,
    SOFTPLUS,
    TANH,
)
from .immutable import Immutable


def _as_slope(name: str, value: Any) -> float:
    """Return a float that is neither 0 nor infinite as a float32."""
    slope = as_real(name, value)
    if not 0 < np.float32(min(slope, 1e38)) or not 0 < slope < 1e38:
        raise ValueError(f"{name} must be from 1e-45 to 1e38, got {slope:g}")
    return slope


class LeakyReLU(Immutable):
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
        self._set(slope=_as_slope(f"{self.kind}: slope", self.slope))

    def code(self) -> tuple[int, float, float]:
        """Return (code, alpha, beta), which describe the activation to compiled code."""
        return LEAKY, self.slope, 0.0


class Clip(Immutable):
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
        self._set(lo=lo, hi=hi)

    def code(self) -> tuple[int, float, float]:
        """Return (code, alpha, beta), which describe the activation to compiled code."""
        return CLIP, self.lo, self.hi


class ELU(Immutable):
    """Exponential linear unit: sigma(x) = x for x > 0, otherwise alpha (exp(x) - 1).

    Parameters
    ----------
    alpha : float
        From 1e-45 to 1e38.

    Raises
    ------
    TypeError, ValueError
        If alpha is not a number, or out of range.

    References
    ----------
    D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and accurate deep network learning by
    exponential linear units" (2016).
    """

    kind: ClassVar[str] = "ELU"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        self._set(alpha=_as_slope(f"{self.kind}: alpha", self.alpha))

    def code(self) -> tuple[int, float, float]:
        """Return (code, alpha, beta), which describe the activation to compiled code."""
        return ELU_CODE, self.alpha, 0.0


class HardSigmoid(Immutable):
    """Piecewise linear sigmoid: sigma(x) = min(max(slope x + offset, 0), 1).

    Parameters
    ----------
    slope : float
        From 1e-45 to 1e38; 1/6 by default, as in Keras 3 and PyTorch. ONNX has 0.2 by default.
    offset : float
        From -1e38 to 1e38.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of range.
    """

    kind: ClassVar[str] = "HardSigmoid"
    slope: float = 1 / 6
    offset: float = 0.5

    def __post_init__(self) -> None:
        self._set(slope=_as_slope(f"{self.kind}: slope", self.slope))
        offset = as_real(f"{self.kind}: offset", self.offset)
        if not abs(offset) <= 1e38:
            raise ValueError(f"{self.kind}: offset must be from -1e38 to 1e38, got {offset:g}")
        self._set(offset=offset)

    def code(self) -> tuple[int, float, float]:
        """Return (code, alpha, beta), which describe the activation to compiled code."""
        return HARD_SIGMOID, self.slope, self.offset


ActivationFunction = LeakyReLU | Clip | ELU | HardSigmoid

# every class of activations; descriptions name a class by its kind
ACTIVATIONS: dict[str, type[ActivationFunction]] = {
    one.kind: one for one in (LeakyReLU, Clip, ELU, HardSigmoid)
}

# codes of the activations without parameters, by name
FUNCTIONS = {
    "relu": RELU,
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "softplus": SOFTPLUS,
    "silu": SILU,
    "hard_swish": HARD_SWISH,
    "gelu": GELU,
}

# names of instances
SHORT_NAMES: dict[str, ActivationFunction] = {
    "elu": ELU(),
    "hard_sigmoid": HardSigmoid(),
    "relu6": Clip(0, 6),
}


def as_activation(kind: str, activation: Any) -> str | ActivationFunction | None:
    """Return an activation, checked; the dict of a description is converted to its object.

    Parameters
    ----------
    kind : str
        Beginning of the error message.
    activation : str in `FUNCTIONS` or `SHORT_NAMES`, instance of a class in `ACTIVATIONS`, dict \
or None

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
    if isinstance(activation, str) and activation in SHORT_NAMES:
        return SHORT_NAMES[activation]
    if not isinstance(activation, str) or activation not in FUNCTIONS:
        names = ", ".join(map(repr, (*FUNCTIONS, *SHORT_NAMES)))
        raise ValueError(
            f"{kind}: activation must be {names}, {', '.join(ACTIVATIONS)} or None, "
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
    if isinstance(activation, str):
        return FUNCTIONS[activation], 0.0, 0.0
    return activation.code()


def activation_entry(activation: str | ActivationFunction | None) -> Any:
    """Return an activation as JSON-able data, which `as_activation` takes."""
    if activation is None or isinstance(activation, str):
        return activation
    return {"kind": activation.kind, **vars(activation)}
