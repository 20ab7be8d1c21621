"""What a layer is: its shapes, its parameters, its two passes.

A layer such as ``Conv(20, 5)`` is a description without sizes. `bind` puts it on images of one
shape: the result knows its geometry and computes.

    forward    Z (l, b, a, d)      ->  Z_out (l, b_out, a_out, d_out)
    backward   dZ_out, Z, Z_out    ->  dZ; the gradients for W and b go into views of dtheta
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, SupportsIndex

import numpy as np

from .kernels import conv, pool
from .kernels.algorithms import as_algorithm
from .kernels.bias_relu import bias_relu_backward
from .kernels.geometry import WindowGeometry, as_size, check_pool_padding, window_sizes

Shape = tuple[int, ...]
Size = SupportsIndex | Sequence[SupportsIndex]
Pad = Size | Sequence[Sequence[SupportsIndex]] | str


def _activation(kind: str, activation: Any) -> str | None:
    """The name of an activation, checked."""
    if activation is None:
        return None
    if not isinstance(activation, str) or activation != "relu":
        raise ValueError(f"{kind}: activation must be 'relu' or None, got {activation!r}")
    return str(activation)


def _window(
    kind: str,
    kernel: Any,
    stride: Any,
    pad: Any,
    dilation: Any = 1,
    groups: Any = 1,
    channels: Any = None,
    kernel_name: str = "kernel",
) -> tuple[Any, ...]:
    """`window_sizes` of a layer, whose pad may also be "same"."""
    if isinstance(pad, str) and pad != "same":
        raise ValueError(f"{kind}: pad must be sizes or 'same', got {pad!r}")
    same = isinstance(pad, str)
    kernel, stride, sides, *rest = window_sizes(
        kind, kernel, stride, 0 if same else pad, dilation, groups, channels, kernel_name
    )
    return kernel, stride, "same" if same else sides, *rest


def _padding(pad: Any, shape: Shape, kernel: Any, stride: Any, dilation: Any) -> Any:
    """``pad``, with "same" worked out: zeros for ceil(n / stride) outputs; an odd one goes last."""
    if pad != "same":
        return pad
    sides = []
    for n, h, s, dil in zip(shape, kernel, stride, dilation):
        total = max((-(-n // s) - 1) * s + (h - 1) * dil + 1 - n, 0)
        sides.append((total // 2, total - total // 2))
    return tuple(sides)


def _short(value: Any) -> Any:
    """A size as briefly as a layer takes it: (3, 3) as 3, ((1, 1), (2, 2)) as (1, 2)."""
    if not isinstance(value, tuple):
        return value
    sides = tuple(_short(side) for side in value)
    if not all(isinstance(side, int) for side in sides):
        return value
    return sides[0] if sides[0] == sides[1] else sides


class BoundLayer:
    """A layer on images of one shape.

    Attributes
    ----------
    geometry : WindowGeometry
        The filter or window on one image; a dense layer's filter is one pixel.
    shape, out_shape : (b, a, d)
        Of one input and one output image.
    W_shape, b_shape : tuple or None
        Of the views of theta; None without parameters.
    fan_in : int
        Numbers that one output sees: the rows of phi.
    multiply_adds : int
        Of the forward pass, per image.
    keeps_indices : bool
        Whether the forward pass leaves int32 indices of the output's shape for the backward one.
    """

    geometry: WindowGeometry
    shape: Shape
    out_shape: Shape
    W_shape: Shape | None = None
    b_shape: Shape | None = None
    fan_in: int = 0
    multiply_adds: int = 0
    keeps_indices: bool = False

    def plan(self, images: int, dtype: np.dtype, algorithm: str) -> None:
        """Settle how to compute for up to so many images at once; before anything below."""

    def scratch_size(self) -> int:
        """Numbers of scratch either pass needs, for the planned number of images."""
        return 0

    def forward(self, Z, W, b, out, scratch, indices=None, part=0, parts=1):
        """Z_out into ``out``; of a convolution or a dense layer only this one of so many parts."""
        raise NotImplementedError

    def backward(self, dZ_out, Z, Z_out, W, dW, db, dZ, scratch, indices=None):
        """dZ into ``dZ`` (None: not computed), and dW, db; dZ_out is overwritten."""
        raise NotImplementedError

    def before_activation(self, dZ_out, Z_out, db):
        """The first half of `backward`, for layers with parameters: the gradient for S."""
        raise NotImplementedError

    def gradients(self, dS, Z, W, dW, db, dZ, scratch):
        """The second half of `backward`: dZ and dW, each unless it is None."""
        raise NotImplementedError


class _BoundConv(BoundLayer):
    def __init__(
        self,
        geometry: WindowGeometry,
        relu: bool,
        algorithm: str | None,
        W_shape: Shape | None = None,
    ) -> None:
        self.geometry = geometry
        self.relu = relu
        self.algorithm = algorithm
        self.shape = geometry.shape[1:]
        self.out_shape = geometry.out_shape[1:]
        self.filter_shape = geometry.filter_shape
        self.W_shape = W_shape or self.filter_shape
        self.b_shape = (self.out_shape[2],)
        self.fan_in = int(np.prod(self.filter_shape[:3], dtype=object))
        self.multiply_adds = self.fan_in * int(np.prod(self.out_shape, dtype=object))

    def plan(self, images: int, dtype: np.dtype, algorithm: str) -> None:
        self.conv_plan = conv.ConvPlan(
            self.geometry.with_images(images), dtype, self.algorithm or algorithm
        )

    def scratch_size(self) -> int:
        return max(self.conv_plan.scratch_size(backward) for backward in (False, True))

    def forward(self, Z, W, b, out, scratch, indices=None, part=0, parts=1):
        W = W.reshape(self.filter_shape)
        conv.forward(self.conv_plan, Z, W, b, self.relu, out, scratch, part, parts)

    def backward(self, dZ_out, Z, Z_out, W, dW, db, dZ, scratch, indices=None):
        dS = self.before_activation(dZ_out, Z_out, db)
        self.gradients(dS, Z, W, dW, db, dZ, scratch)

    def before_activation(self, dZ_out, Z_out, db):
        """dS, in dZ_out's memory; its sums into db when they cost nothing more."""
        if not self.relu:
            return dZ_out
        dS, db[:] = bias_relu_backward(dZ_out, Z_out, out=dZ_out)
        return dS

    def gradients(self, dS, Z, W, dW, db, dZ, scratch):
        """dZ and dW, each unless it is None; db, unless `before_activation` has it, with dW."""
        conv.backward(
            self.conv_plan,
            dS,
            Z,
            W.reshape(self.filter_shape),
            need_dZ=dZ is not None,
            need_dW=dW is not None,
            need_db=dW is not None and not self.relu,
            out_dZ=dZ,
            out_dW=None if dW is None else dW.reshape(self.filter_shape),
            out_db=None if self.relu else db,
            scratch=scratch,
        )


class _BoundDense(_BoundConv):
    """W vec(Z) + b is a 1x1 convolution on images of one pixel."""

    def __init__(self, shape: Shape, units: int, relu: bool, function: str) -> None:
        m = int(np.prod(shape, dtype=object))
        super().__init__(
            WindowGeometry(function, (1, 1, 1, m), 1, channels=units), relu, "im2col", (m, units)
        )
        self.shape = shape

    def forward(self, Z, W, b, out, scratch, indices=None, part=0, parts=1):
        super().forward(self._pixels(Z), W, b, out, scratch, None, part, parts)

    def gradients(self, dS, Z, W, dW, db, dZ, scratch):
        if dZ is not None:
            dZ = self._pixels(dZ)
        super().gradients(dS, self._pixels(Z), W, dW, db, dZ, scratch)

    def _pixels(self, Z):
        return Z.reshape(len(Z), 1, 1, self.W_shape[0])


class _BoundMaxPool(BoundLayer):
    keeps_indices = True

    def __init__(self, geometry: WindowGeometry) -> None:
        self.geometry = geometry
        self.shape = geometry.shape[1:]
        self.out_shape = geometry.out_shape[1:]

    def forward(self, Z, W, b, out, scratch, indices=None, part=0, parts=1):
        pool.max_pool_forward(self.geometry, Z, indices is not None, out, indices)

    def backward(self, dZ_out, Z, Z_out, W, dW, db, dZ, scratch, indices=None):
        if dZ is not None:
            pool.max_pool_adjoint(self.geometry, dZ_out, indices, dZ)


class _BoundAvgPool(BoundLayer):
    def __init__(self, geometry: WindowGeometry) -> None:
        self.geometry = geometry
        self.shape = geometry.shape[1:]
        self.out_shape = geometry.out_shape[1:]

    def forward(self, Z, W, b, out, scratch, indices=None, part=0, parts=1):
        pool.avg_pool_forward(self.geometry, Z, out)

    def backward(self, dZ_out, Z, Z_out, W, dW, db, dZ, scratch, indices=None):
        if dZ is not None:
            pool.avg_pool_adjoint(self.geometry, dZ_out, dZ)


class _Layer:
    """What the layers share: a text, and the arguments that make an equal layer."""

    kind: ClassVar[str]

    def arguments(self) -> dict[str, Any]:
        """The arguments of the layer by name, each size in its shortest form: 3 for (3, 3)."""
        return {field.name: _short(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]

    def __repr__(self) -> str:
        arguments = (f"{name}={value!r}" for name, value in self.arguments().items())
        return f"{type(self).__name__}({', '.join(arguments)})"

    def _set(self, **values: Any) -> None:
        """Replace arguments by their checked form, in a frozen layer."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, repr=False)
class Conv(_Layer):
    """Z_out = sigma(W phi(Z) + b 1'): equations (1) to (3) of the notes.

    Immutable; layers with equal attributes are equal. Sizes are any integers (NumPy's too) and
    any sequences of them, and are copied.

    Parameters
    ----------
    channels : int
        Filters, d_out.
    kernel, stride, dilation : int or (height, width)
    pad : int, (height, width), ((top, bottom), (left, right)) or "same"
        Zeros around each image; "same": as many as give ``ceil(n / stride)`` rows and columns.
    groups : int
    activation : "relu" or None
    algorithm : "auto", "im2col", "winograd" or None
        See `conv2d`; None: what the network says.

    Attributes
    ----------
    kernel, stride, dilation : (height, width)
    pad : ((top, bottom), (left, right)) or "same"
    channels, groups, activation, algorithm
        As given.

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
    activation: str | None = "relu"
    algorithm: str | None = None

    def __post_init__(self) -> None:
        activation = _activation(self.kind, self.activation)
        if self.algorithm is not None:
            as_algorithm(self.kind, self.algorithm)
        channels = as_size(self.kind, "channels", self.channels)
        kernel, stride, pad, dilation, groups, _ = _window(
            self.kind, self.kernel, self.stride, self.pad, self.dilation, self.groups, channels
        )
        self._set(
            channels=channels,
            kernel=kernel,
            stride=stride,
            pad=pad,
            dilation=dilation,
            groups=groups,
            activation=activation,
        )

    def bind(self, shape: Shape, function: str) -> BoundLayer:
        """This layer on images of ``shape``; ``function`` begins every error message."""
        pad = _padding(self.pad, shape, self.kernel, self.stride, self.dilation)
        geometry = WindowGeometry(
            function,
            (1, *shape),
            self.kernel,
            self.stride,
            pad,
            self.dilation,
            self.groups,
            self.channels,
        )
        return _BoundConv(geometry, self.activation == "relu", self.algorithm)


@dataclass(frozen=True, repr=False)
class Dense(_Layer):
    """z_out = W vec(Z) + b, and sigma of it when ``activation="relu"``; immutable.

    Parameters
    ----------
    units : int
        Outputs.
    activation : "relu" or None

    Raises
    ------
    TypeError, ValueError, OverflowError
    """

    kind: ClassVar[str] = "Dense"
    units: int
    activation: str | None = None

    def __post_init__(self) -> None:
        activation = _activation(self.kind, self.activation)
        units = as_size(self.kind, "units", self.units)
        if units < 1:
            raise ValueError(f"{self.kind}: units must be at least 1, got {units}")
        self._set(activation=activation, units=units)

    def bind(self, shape: Shape, function: str) -> BoundLayer:
        """This layer on images of ``shape``; ``function`` begins every error message."""
        return _BoundDense(shape, self.units, self.activation == "relu", function)


@dataclass(frozen=True, repr=False)
class _Pool(_Layer):
    window: Size
    stride: Size | None = None
    pad: Pad = 0

    def __post_init__(self) -> None:
        stride = self.window if self.stride is None else self.stride
        window, stride, pad, *_ = _window(
            self.kind, self.window, stride, self.pad, kernel_name="window"
        )
        if pad != "same":
            check_pool_padding(self.kind, window, pad)
        self._set(window=window, stride=stride, pad=pad)

    def arguments(self) -> dict[str, Any]:
        stride = None if self.stride == self.window else _short(self.stride)
        return {**super().arguments(), "stride": stride}

    def _geometry(self, shape: Shape, function: str) -> WindowGeometry:
        stride = self.window if self.stride is None else self.stride
        pad = _padding(self.pad, shape, self.window, stride, (1, 1))
        return pool.pool_geometry(function, (1, *shape), self.window, stride, pad)


@dataclass(frozen=True, repr=False)
class MaxPool(_Pool):
    """The largest number of each window, channel by channel; immutable.

    Parameters
    ----------
    window : int or (height, width)
    stride : int or (height, width), optional
        The window when left out.
    pad : int, (height, width), ((top, bottom), (left, right)) or "same"
        Smaller than the window; padding is never the largest.

    Attributes
    ----------
    window, stride : (height, width)
    pad : ((top, bottom), (left, right)) or "same"

    Raises
    ------
    TypeError, ValueError, OverflowError
        For an argument that is wrong whatever the images are.

    Examples
    --------
    >>> from matconv import MaxPool
    >>> MaxPool(2) == MaxPool((2, 2), stride=2)
    True
    """

    kind: ClassVar[str] = "MaxPool"

    def bind(self, shape: Shape, function: str) -> BoundLayer:
        """This layer on images of ``shape``; ``function`` begins every error message."""
        return _BoundMaxPool(self._geometry(shape, function))


@dataclass(frozen=True, repr=False)
class AvgPool(_Pool):
    """The mean of each window's real pixels, channel by channel; parameters as for `MaxPool`."""

    kind: ClassVar[str] = "AvgPool"

    def bind(self, shape: Shape, function: str) -> BoundLayer:
        """This layer on images of ``shape``; ``function`` begins every error message."""
        return _BoundAvgPool(self._geometry(shape, function))


Layer = Conv | Dense | MaxPool | AvgPool

KINDS: dict[str, type] = {layer.kind: layer for layer in (Conv, Dense, MaxPool, AvgPool)}
