"""Layers on single elements: Activation, Add, Dropout, Multiply, PReLU, Scale."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..activations import ActivationFunction
from ..arguments import as_real, as_reals
from .base import Layer, Parameter
from .windows import Shape

ONE_SHAPE = "inputs must have one shape"


class Activation(Layer):
    """Activation as a layer of its own: z_out = sigma(z), element by element. Immutable.

    Parameters
    ----------
    activation : "relu", another name or an instance of a class in `matconv.activations`
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


class Add(Layer):
    """Weighted sum: z_out = sigma(factors[0] z_0 + factors[1] z_1 + ...). Immutable.

    Parameters
    ----------
    inputs : sequence of str
        Names of two or more layers, whose outputs have the same shape.
    factors : sequence of float, optional
        One for each input; all are 1 by default. ``(1, -1)`` subtracts.
    activation : "relu", another name or an instance of a class in `matconv.activations`, or None
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
        # not shortened from (2, 2) to 2: factors are not a size
        return {**super().arguments(), "factors": self.factors}


class Dropout(Layer):
    """Dropout: each element is 0 with probability ``rate``, else z / (1 - rate) [1]_. Immutable.

    Elements are dropped only in an objective that `matconv.Objective.with_dropout` returns, as sgd
    uses it. Everywhere else z_out = z: in `matconv.Network.forward`, in an `matconv.Objective` and
    so in line searches, and in frozen and exported networks, which do not contain the layer.

    Which elements are dropped is a function of a seed, an epoch, the index of the layer in the
    network, the number of the image in the data set, and the index of the element. It depends
    neither on the other images of a mini-batch nor on threads. A dropped element is 0 also if z is
    NaN or infinite.

    Parameters
    ----------
    rate : float
        At least 0 and below 1; it is rounded down to a multiple of 2^-32.
    name, inputs
        See `matconv.layers.Layer`.

    Raises
    ------
    TypeError, ValueError
        If the rate is not a number, or out of range.

    References
    ----------
    .. [1] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: a
       simple way to prevent neural networks from overfitting" (2014).
    """

    kind: ClassVar[str] = "Dropout"
    training_only: ClassVar[bool] = True
    rate: float

    def __post_init__(self) -> None:
        super().__post_init__()
        rate = as_real(f"{self.kind}: rate", self.rate)
        if not 0 <= rate < 1:
            raise ValueError(f"{self.kind}: rate must be at least 0 and below 1, got {rate:g}")
        self._set(rate=rate)

    def numbers(self, count: int) -> list[float]:
        return [self.rate]


class Multiply(Layer):
    """Elementwise product: z_out = sigma(z_0 z_1 ...). Immutable.

    Parameters
    ----------
    inputs : sequence of str
        Names of two or more layers, whose outputs have the same shape. An image of one pixel, or a
        vector, with the channels of the others is multiplied by all of their pixels, as in
        squeeze-and-excitation blocks.
    activation : "relu", another name or an instance of a class in `matconv.activations`, or None
    name
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Multiply"
    linear: ClassVar[bool] = False
    demand: ClassVar[str] = f"{ONE_SHAPE}, or one pixel and as many channels"
    activation: str | ActivationFunction | None = None


class PReLU(Layer):
    """ReLU with learned slopes: z_out = z for z > 0, otherwise slope z. Immutable.

    slope is a part of theta with shape (channels,), or (units,) for vectors: one for each channel.
    Its elements, initially 0.25, may have any sign. At z = 0 the derivative for z is the slope.

    Parameters
    ----------
    parameters : str, optional
        Name of an earlier layer whose slopes this one uses; theta has them once.
    name, inputs
        See `matconv.layers.Layer`.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers" (2015).
    """

    kind: ClassVar[str] = "PReLU"
    linear: ClassVar[bool] = False
    parameters: str | None = None

    def arrays(self, shapes: list[Shape]) -> list[Parameter]:
        return [Parameter("slope", (shapes[0][-1],))]

    def initial(self, random: np.random.Generator, arrays: list[np.ndarray], fan_in: int) -> None:
        arrays[0][...] = 0.25


class Scale(Layer):
    """Gain and bias for each channel: z_out = sigma(gain z + bias). Immutable.

    Batch normalisation with fixed moments has this form. gain and bias are parts of theta with
    shape (channels,), or (units,) for vectors. Initially gain is 1 and bias is 0.

    Parameters
    ----------
    activation : "relu", another name or an instance of a class in `matconv.activations`, or None
    bias : bool
        Whether the layer has a bias.
    parameters : str, optional
        Name of an earlier layer whose gain and bias this one uses; theta has them once.
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Scale"
    normalizes: ClassVar[bool] = True
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
