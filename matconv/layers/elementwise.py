"""Layers whose output has the shape of their inputs: Activation, Add, Multiply, Scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..activations import ActivationFunction
from ..arguments import as_reals
from .base import Layer, Parameter
from .windows import Shape

ONE_SHAPE = "inputs must have one shape"


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """z_out = sigma(z), element by element, of an image or a vector; immutable.

    Parameters
    ----------
    activation : "relu", `LeakyReLU` or `Clip`
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Activation"
    linear: ClassVar[bool] = False
    activation: str | ActivationFunction

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation is None:
            raise TypeError(f"{self.kind}: activation must be named, got None")


@dataclass(frozen=True, repr=False)
class Add(Layer):
    """z_out = sigma(factors[0] z_0 + factors[1] z_1 + ...), element by element; immutable.

    Parameters
    ----------
    inputs : sequence of str
        Names of two or more layers, whose outputs have one shape.
    factors : sequence of float, optional
        One for each input; 1 when left out. ``(1, -1)`` subtracts.
    activation : "relu", `LeakyReLU`, `Clip` or None
    name
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Add"
    demand: ClassVar[str] = ONE_SHAPE
    factors: Sequence[float] | None = None
    activation: str | ActivationFunction | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factors is None:
            return
        factors, count = as_reals(f"{self.kind}: factors", self.factors), len(self.inputs or ())
        if len(factors) != count:
            raise ValueError(
                f"{self.kind}: factors must be one for each of {count} inputs, got {len(factors)}"
            )
        self._set(factors=None if set(factors) == {1.0} else factors)

    def numbers(self, count: int) -> list[float]:
        return [1.0] * count if self.factors is None else list(self.factors)

    def arguments(self) -> dict[str, Any]:
        # (2, 2) in full: factors are not a size
        return {**super().arguments(), "factors": self.factors}


@dataclass(frozen=True, repr=False)
class Multiply(Layer):
    """z_out = sigma(z_0 z_1 ...), element by element; immutable.

    Parameters
    ----------
    inputs : sequence of str
        Names of two or more layers, whose outputs have one shape.
    activation : "relu", `LeakyReLU`, `Clip` or None
    name
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Multiply"
    linear: ClassVar[bool] = False
    demand: ClassVar[str] = ONE_SHAPE
    activation: str | ActivationFunction | None = None


@dataclass(frozen=True, repr=False)
class Scale(Layer):
    """z_out = sigma(gain z + bias) with a gain and a bias for each channel; immutable.

    Batch normalisation with fixed moments has this form. Both arrays are in theta, have shape
    (channels,), or (units,) for vectors, and begin with 1 and 0.

    Parameters
    ----------
    activation : "relu", `LeakyReLU`, `Clip` or None
    bias : bool
    parameters : str, optional
        Name of an earlier layer whose gain and bias this one uses; theta holds them once.
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Scale"
    activation: str | ActivationFunction | None = None
    bias: bool = True
    parameters: str | None = None

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        return [int(self.bias)]

    def arrays(self, shapes: list[Shape]) -> list[Parameter]:
        shape = (shapes[0][-1],)
        return [Parameter("gain", shape), Parameter("bias", shape)][: 1 + self.bias]

    def initial(self, random: np.random.Generator, arrays: list[np.ndarray], fan_in: int) -> None:
        arrays[0][...] = 1
