"""Layers with filters: Conv, ConvTranspose, Dense."""

from math import prod
from typing import ClassVar

import numpy as np

from ..activations import ActivationFunction
from ..kernels._algorithms import as_algorithm
from ..kernels._conv_transpose import transposed_shape
from ..kernels._geometry import WindowGeometry
from ..kernels._sizes import as_pair, as_size
from .base import Layer, Parameter
from .initial import Normal
from .windows import Pad, Shape, Sides, Size, as_sides, as_window, four, image_shape, padding


class Filters(Layer):
    """Base class of layers with parameters W and, unless ``bias`` is False, b.

    Unless ``init`` says otherwise, the elements of W are initially drawn from N(0, 2/K), where K is
    the number of inputs of one output (He et al., 2015; see `matconv.Network.init`), and b is 0.
    """

    def filters(self, W: Shape, outputs: int) -> list[Parameter]:
        """Return W with the given shape and, unless ``bias`` is False, b with shape (outputs,)."""
        return [Parameter("W", W), Parameter("b", (outputs,))][: 1 + self.bias]  # type: ignore[attr-defined]

    def initial(self, random: np.random.Generator, arrays: list[np.ndarray], fan_in: int) -> None:
        init = getattr(self, "init", None) or Normal()
        W = random.standard_normal(arrays[0].size).reshape(arrays[0].shape)
        arrays[0][...] = W * init.deviation(fan_in)
        for b in arrays[1:]:
            b[...] = init.bias


class Conv(Filters):
    """Convolution: Z_out = sigma(W phi(Z) + b 1'), equations (1) to (3) of the notes.

    An image of shape (height, width, d) becomes one of shape (out_height, out_width, channels). W
    has the shape (d/groups, kernel height, kernel width, channels), b the shape (channels,).
    Immutable; layers with equal attributes are equal. Sizes may be any integers, also NumPy's, and
    sequences of them of any type.

    Parameters
    ----------
    channels : int
        Number of filters, d_out.
    kernel, stride, dilation : int or (height, width)
        In pixels.
    pad : int, (height, width), ((top, bottom), (left, right)) or "same"
        Zeros added around each image, in pixels. "same" adds as many as are needed for
        ``ceil(n / stride)`` output rows (columns) for n input rows (columns).
    groups : int
        Number of groups of channels that are convolved separately; divides d and ``channels``.
    activation : "relu", another name or an instance of a class in `matconv.activations`, or None
    algorithm : "auto", "im2col", "winograd" or None
        See `matconv.conv2d`. None: the algorithm of the network.
    bias : bool
        Whether the layer has b.
    parameters : str, optional
        Name of an earlier layer whose W and b this one uses; theta has them once.
    init : Normal, optional
        Initial values of W and b, see `matconv.layers.Normal`. By default He's.
    name, inputs
        See `matconv.layers.Layer`.

    Attributes
    ----------
    kernel, stride, dilation : (height, width)
    pad : ((top, bottom), (left, right)) or "same"

    Raises
    ------
    TypeError, ValueError, OverflowError
        If an argument is invalid for images of any size.

    Examples
    --------
    >>> from matconv import Conv
    >>> Conv(4, 3) == Conv(4, (3, 3)) == Conv(4, [3, 3])
    True
    >>> Conv(4, 3, pad=1).pad
    ((1, 1), (1, 1))
    """

    kind: ClassVar[str] = "Conv"
    explicit_activation: ClassVar[bool] = True
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
    init: Normal | None = None

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


class ConvTranspose(Filters):
    """Transposed convolution: Z_out = sigma(P_phi' W' Z + b 1'), the adjoint of a convolution.

    An image of shape (height, width, d) becomes one of shape (out_height, out_width, channels) with

        out_height = upsample (height - 1) + (kernel height - 1) dilation + 1 - top - bottom + extra

    W has the shape (channels/groups, kernel height, kernel width, d): it is the W of the
    convolution whose adjoint this is. b has the shape (channels,). Immutable.

    Parameters
    ----------
    channels : int
        Number of output channels.
    kernel, upsample, dilation : int or (height, width)
        Kernel, stride and dilation of the convolution.
    crop : int, (height, width) or ((top, bottom), (left, right))
        Rows and columns that are removed from the output; the padding of the convolution.
    extra : int or (height, width)
        Rows (columns) added at the bottom (right), fewer than ``upsample``.
    groups : int
        Number of groups of channels; divides d and ``channels``.
    activation : "relu", an instance of a class in `matconv.activations`, or None
    algorithm : "auto", "im2col", "winograd" or None
        See `matconv.conv2d`. None: the algorithm of the network.
    bias : bool
        Whether the layer has b.
    parameters : str, optional
        Name of an earlier layer whose W and b this one uses; theta has them once.
    name, inputs
        See `matconv.layers.Layer`.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If an argument is invalid for images of any size.

    Examples
    --------
    >>> from matconv import ConvTranspose, Network
    >>> Network((7, 7, 8), [ConvTranspose(4, 3, upsample=2, crop=1, extra=1)]).output_shape
    (14, 14, 4)
    """

    kind: ClassVar[str] = "ConvTranspose"
    explicit_activation: ClassVar[bool] = True
    channels: int
    kernel: Size
    upsample: Size = 1
    crop: Sides = 0
    dilation: Size = 1
    extra: Size = 0
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
        kernel, _, _, dilation, groups, _ = as_window(
            self.kind, self.kernel, 1, 0, self.dilation, self.groups, channels
        )
        crop = as_sides(self.kind, "crop", self.crop)
        upsample = as_pair(self.kind, "upsample", self.upsample)
        extra = as_pair(self.kind, "extra", self.extra)
        if min(upsample) < 1:
            raise ValueError(
                f"{self.kind}: upsample must be at least 1, got {upsample[0]} x {upsample[1]}"
            )
        if not all(0 <= more < up for more, up in zip(extra, upsample, strict=True)):
            raise ValueError(
                f"{self.kind}: extra must be at least 0 and less than upsample {upsample}, "
                f"got {extra}"
            )
        self._set(channels=channels, kernel=kernel, upsample=upsample, crop=crop)
        self._set(dilation=dilation, extra=extra, groups=groups)

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        shape = image_shape(function, shapes[0])
        size = transposed_shape(
            function, shape[:2], self.kernel, self.upsample, self.crop, self.dilation, self.extra
        )
        # the convolution, whose images are the outputs
        geometry = WindowGeometry(
            function,
            (1, *size, self.channels),
            self.kernel,
            self.upsample,
            self.crop,
            self.dilation,
            self.groups,
            shape[2],
        )
        return [
            self.channels,
            self.groups,
            *geometry.kernel,
            *geometry.stride,
            *four(geometry.pad),
            *geometry.dilation,
            *self.extra,  # type: ignore[misc]
            int(self.bias),
            as_algorithm(self.kind, self.algorithm or algorithm),
        ]

    def arrays(self, shapes: list[Shape]) -> list[Parameter]:
        W = (self.channels // self.groups, *self.kernel, shapes[0][2])  # type: ignore[misc]
        return self.filters(W, self.channels)


class Dense(Filters):
    """Fully connected layer: z_out = sigma(W vec(Z) + b).

    An image or a vector of m elements becomes a vector of shape (units,). W has the shape
    (m, units), b the shape (units,). Immutable.

    Parameters
    ----------
    units : int
        Number of outputs, at least 1.
    activation : "relu", another name or an instance of a class in `matconv.activations`, or None
    bias : bool
        Whether the layer has b.
    parameters : str, optional
        Name of an earlier layer whose W and b this one uses; theta has them once.
    init : Normal, optional
        Initial values of W and b, see `matconv.layers.Normal`. By default He's.
    name, inputs
        See `matconv.layers.Layer`.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If an argument is invalid for inputs of any size.
    """

    kind: ClassVar[str] = "Dense"
    units: int
    activation: str | ActivationFunction | None = None
    bias: bool = True
    parameters: str | None = None
    init: Normal | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        units = as_size(self.kind, "units", self.units)
        if units < 1:
            raise ValueError(f"{self.kind}: units must be at least 1, got {units}")
        self._set(units=units)

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        # raises OverflowError if the sizes exceed those of a matrix product
        WindowGeometry(function, (1, 1, 1, prod(shapes[0])), 1, channels=self.units)
        return [self.units, int(self.bias)]

    def arrays(self, shapes: list[Shape]) -> list[Parameter]:
        return self.filters((prod(shapes[0]), self.units), self.units)
