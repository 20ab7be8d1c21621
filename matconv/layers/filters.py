"""Layers with filters: Conv, Dense."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from ..activations import ActivationFunction
from ..kernels._algorithms import as_algorithm
from ..kernels._geometry import WindowGeometry, as_size
from .base import Layer, Parameter
from .windows import Pad, Shape, Size, as_window, four, image_shape, padding


@dataclass(frozen=True, repr=False)
class Filters(Layer):
    """Base class of layers with W and, unless ``bias`` is False, b.

    W begins from N(0, 2/K) with K the inputs of one output (He et al., 2015), b with 0.
    """

    def filters(self, W: Shape, outputs: int) -> list[Parameter]:
        """Return the arrays W of a shape and b, which has an element for each output."""
        return [Parameter("W", W), Parameter("b", (outputs,))][: 1 + self.bias]  # type: ignore[attr-defined]

    def initial(self, random: np.random.Generator, arrays: list[np.ndarray], fan_in: int) -> None:
        W = random.standard_normal(arrays[0].size).reshape(arrays[0].shape)
        arrays[0][...] = W * np.sqrt(2 / fan_in)


@dataclass(frozen=True, repr=False)
class Conv(Filters):
    """Z_out = sigma(W phi(Z) + b 1'): equations (1) to (3) of the notes.

    An image (b, a, d) becomes (b_out, a_out, channels). W is (d/groups, h_b, h_a, channels), b is
    (channels,). Immutable; layers with equal attributes are equal. Sizes are any integers (NumPy's
    too) and any sequences of them, and are copied.

    Parameters
    ----------
    channels : int
        Filters, d_out.
    kernel, stride, dilation : int or (height, width)
    pad : int, (height, width), ((top, bottom), (left, right)) or "same"
        Zeros around each image; "same": as many as give ``ceil(n / stride)`` rows and columns.
    groups : int
    activation : "relu", `LeakyReLU`, `Clip` or None
    algorithm : "auto", "im2col", "winograd" or None
        See `conv2d`; None: what the network says.
    bias : bool
    parameters : str, optional
        Name of an earlier layer whose W and b this one uses; theta holds them once.
    name, inputs
        See `matconv.layers.Layer`.

    Attributes
    ----------
    kernel, stride, dilation : (height, width)
    pad : ((top, bottom), (left, right)) or "same"

    Raises
    ------
    TypeError, ValueError, OverflowError
        For an argument that is wrong whatever the images are.

    Examples
    --------
    >>> from matconv import Conv
    >>> Conv(4, 3) == Conv(4, (3, 3)) == Conv(4, [3, 3])
    True
    >>> Conv(4, 3, pad=1).pad
    ((1, 1), (1, 1))
    """

    kind: ClassVar[str] = "Conv"
    channels: int
    kernel: Size
    stride: Size = 1
    pad: Pad = 0
    dilation: Size = 1
    groups: int = 1
    activation: str | ActivationFunction | None = None
    algorithm: str | None = None
    bias: bool = True
    parameters: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.algorithm is not None:
            as_algorithm(self.kind, self.algorithm)
        channels = as_size(self.kind, "channels", self.channels)
        kernel, stride, pad, dilation, groups, _ = as_window(
            self.kind, self.kernel, self.stride, self.pad, self.dilation, self.groups, channels
        )
        self._set(channels=channels, kernel=kernel, stride=stride)
        self._set(pad=pad, dilation=dilation, groups=groups)

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        shape = image_shape(function, shapes[0])
        geometry = WindowGeometry(
            function,
            (1, *shape),
            self.kernel,
            self.stride,
            padding(self.pad, shape, self.kernel, self.stride, self.dilation),
            self.dilation,
            self.groups,
            self.channels,
        )
        return [
            self.channels,
            self.groups,
            *geometry.kernel,
            *geometry.stride,
            *four(geometry.pad),
            *geometry.dilation,
            int(self.bias),
            as_algorithm(self.kind, self.algorithm or algorithm),
        ]

    def arrays(self, shapes: list[Shape]) -> list[Parameter]:
        W = (shapes[0][2] // self.groups, *self.kernel, self.channels)  # type: ignore[misc]
        return self.filters(W, self.channels)


@dataclass(frozen=True, repr=False)
class Dense(Filters):
    """z_out = sigma(W vec(Z) + b).

    An image or a vector of m elements becomes (units,). W is (m, units), b is (units,). Immutable.

    Parameters
    ----------
    units : int
        Outputs.
    activation : "relu", `LeakyReLU`, `Clip` or None
    bias : bool
    parameters : str, optional
        Name of an earlier layer whose W and b this one uses; theta holds them once.
    name, inputs
        See `matconv.layers.Layer`.

    Raises
    ------
    TypeError, ValueError, OverflowError
    """

    kind: ClassVar[str] = "Dense"
    units: int
    activation: str | ActivationFunction | None = None
    bias: bool = True
    parameters: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        units = as_size(self.kind, "units", self.units)
        if units < 1:
            raise ValueError(f"{self.kind}: units must be at least 1, got {units}")
        self._set(units=units)

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        # for the message about sizes that no matrix product can have
        WindowGeometry(function, (1, 1, 1, prod(shapes[0])), 1, channels=self.units)
        return [self.units, int(self.bias)]

    def arrays(self, shapes: list[Shape]) -> list[Parameter]:
        return self.filters((prod(shapes[0]), self.units), self.units)
