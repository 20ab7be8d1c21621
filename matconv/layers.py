"""Layers: what a network is described with.

A layer such as ``Conv(20, 5)`` is a description without image sizes. Its class names the compiled
operation that computes it, and says by which numbers that operation is described, what its
parameters are called and how they begin. `LAYERS` lists the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any, ClassVar, NamedTuple, SupportsIndex

import numpy as np

from .activations import ActivationFunction, as_activation
from .kernels.algorithms import as_algorithm
from .kernels.geometry import WindowGeometry, as_size, check_pool_padding, window_sizes
from .kernels.pool import pool_geometry

Shape = tuple[int, ...]
Size = SupportsIndex | Sequence[SupportsIndex]
Pad = Size | Sequence[Sequence[SupportsIndex]] | str


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
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        return value
    return sides[0] if sides[0] == sides[1] else sides


def _image(function: str, shape: Shape) -> Shape:
    """The shape of an image; ValueError for a vector."""
    if len(shape) != 3:
        raise ValueError(f"{function}: images are needed")
    return shape


def _flag(kind: str, name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{kind}: {name} must be True or False, got {value!r}")
    return bool(value)


def _name(kind: str, argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{kind}: {argument} must be a str, got {value!r} ({type(value).__name__})")
    if not value or not value.isprintable():
        raise ValueError(f"{kind}: {argument} must be printable and not empty, got {value!r}")
    return str(value)


class Parameter(NamedTuple):
    """A parameter array of a layer: its name, and the shape of its view of theta."""

    name: str
    shape: Shape


@dataclass(frozen=True, repr=False, kw_only=True)
class Layer:
    """What all layers share; not a layer by itself.

    Parameters
    ----------
    name : str, optional
        By which other layers and `Network(outputs=)` refer to this one; "conv1", "dense2", ... by
        its place in the network when left out.
    inputs : str or sequence of str, optional
        Names of the layers whose outputs it reads, "input" for the images; the layer before when
        left out.
    """

    kind: ClassVar[str]
    several_inputs: ClassVar[bool] = False
    linear: ClassVar[bool] = True  # in its input, but for bias and activation
    # what is wrong where the operation refuses the shapes of its inputs
    demand: ClassVar[str] = "this input does not fit"

    name: str | None = None
    inputs: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            self._set(name=_name(self.kind, "name", self.name))
            if self.name == "input":
                raise ValueError(f"{self.kind}: name must not be 'input', which is the images")
        if self.inputs is not None:
            given = (self.inputs,) if isinstance(self.inputs, str) else self.inputs
            if not isinstance(given, (list, tuple)):
                raise TypeError(
                    f"{self.kind}: inputs must be a name or a sequence of names, "
                    f"got {self.inputs!r} ({type(self.inputs).__name__})"
                )
            names = tuple(_name(self.kind, "inputs", one) for one in given)
            if self.several_inputs and len(names) < 2:
                raise ValueError(f"{self.kind}: inputs must name at least 2 layers, got {names}")
            if not self.several_inputs and len(names) != 1:
                raise ValueError(f"{self.kind}: inputs must name 1 layer, got {names}")
            self._set(inputs=names)
        elif self.several_inputs:
            raise TypeError(f"{self.kind}: inputs must name the layers that it reads")
        own = {field.name for field in fields(self)}
        if "activation" in own:
            self._set(activation=as_activation(self.kind, self.activation))  # type: ignore[attr-defined]
        if "bias" in own:
            self._set(bias=_flag(self.kind, "bias", self.bias))  # type: ignore[attr-defined]
        if self.parameters_of is not None:
            self._set(parameters=_name(self.kind, "parameters", self.parameters_of))

    def _set(self, **values: Any) -> None:
        """Replace arguments by their checked form, in a frozen layer."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def arguments(self) -> dict[str, Any]:
        """The arguments of the layer by name, each size in its shortest form: 3 for (3, 3)."""
        names = [field.name for field in fields(self) if field.name not in ("name", "inputs")]
        values = {name: _short(getattr(self, name)) for name in names}
        inputs = self.inputs
        if inputs is not None and len(inputs) == 1:
            inputs = inputs[0]  # type: ignore[index]
        return {**values, "name": self.name, "inputs": inputs}

    def __repr__(self) -> str:
        defaults = {field.name: field.default for field in fields(self)}
        hidden = ("name", "inputs", "parameters", "bias", "factors")
        arguments = (
            f"{name}={value!r}"
            for name, value in self.arguments().items()
            if name not in hidden or value != defaults[name]
        )
        return f"{type(self).__name__}({', '.join(arguments)})"

    @property
    def parameters_of(self) -> str | None:
        """Name of the layer whose parameters this one uses; None: its own."""
        return getattr(self, "parameters", None)

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        """The words that describe the layer on inputs of these shapes to its operation.

        ``function`` begins every error message; ``algorithm`` is the network's.
        """
        return []

    def numbers(self, count: int) -> list[float]:
        """The numbers that describe the layer, which reads so many inputs, to its operation."""
        return []

    def arrays(self, shapes: list[Shape]) -> list[Parameter]:
        """The layer's parameters, in the order in which theta holds them."""
        return []

    def initial(self, random: np.random.Generator, arrays: list[np.ndarray], fan_in: int) -> None:
        """Fill the layer's parameters, which are zero, with what a training begins with."""


@dataclass(frozen=True, repr=False)
class _Filters(Layer):
    """W and b, W from N(0, 2/K) with K the inputs of one output (He et al., 2015), b = 0."""

    def initial(self, random: np.random.Generator, arrays: list[np.ndarray], fan_in: int) -> None:
        W = random.standard_normal(arrays[0].size).reshape(arrays[0].shape)
        arrays[0][...] = W * np.sqrt(2 / fan_in)


@dataclass(frozen=True, repr=False)
class Conv(_Filters):
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
        )

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        shape = _image(function, shapes[0])
        geometry = WindowGeometry(
            function,
            (1, *shape),
            self.kernel,
            self.stride,
            _padding(self.pad, shape, self.kernel, self.stride, self.dilation),
            self.dilation,
            self.groups,
            self.channels,
        )
        (top, bottom), (left, right) = geometry.pad
        return [
            self.channels,
            self.groups,
            *geometry.kernel,
            *geometry.stride,
            *(top, bottom, left, right),
            *geometry.dilation,
            int(self.bias),
            as_algorithm(self.kind, self.algorithm or algorithm),
        ]

    def arrays(self, shapes: list[Shape]) -> list[Parameter]:
        W = Parameter("W", (shapes[0][2] // self.groups, *self.kernel, self.channels))  # type: ignore[misc]
        return [W, Parameter("b", (self.channels,))][: 1 + self.bias]


@dataclass(frozen=True, repr=False)
class Dense(_Filters):
    """z_out = sigma(W vec(Z) + b); immutable.

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
        m = int(np.prod(shapes[0], dtype=object))
        # for the message of sizes that no product can have
        WindowGeometry(function, (1, 1, 1, m), 1, channels=self.units)
        return [self.units, int(self.bias)]

    def arrays(self, shapes: list[Shape]) -> list[Parameter]:
        m = int(np.prod(shapes[0], dtype=object))
        return [Parameter("W", (m, self.units)), Parameter("b", (self.units,))][: 1 + self.bias]


@dataclass(frozen=True, repr=False)
class _Pool(Layer):
    window: Size
    stride: Size | None = None
    pad: Pad = 0

    def __post_init__(self) -> None:
        super().__post_init__()
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

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        shape = _image(function, shapes[0])
        pad = _padding(self.pad, shape, self.window, self.stride, (1, 1))
        geometry = pool_geometry(function, (1, *shape), self.window, self.stride, pad)
        (top, bottom), (left, right) = geometry.pad
        return [*geometry.kernel, *geometry.stride, top, bottom, left, right]


@dataclass(frozen=True, repr=False)
class MaxPool(_Pool):
    """The maximum of each window, channel by channel; immutable.

    Parameters
    ----------
    window : int or (height, width)
    stride : int or (height, width), optional
        The window when left out.
    pad : int, (height, width), ((top, bottom), (left, right)) or "same"
        Smaller than the window; padding is never the maximum.
    name, inputs
        See `matconv.layers.Layer`.

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


@dataclass(frozen=True, repr=False)
class AvgPool(_Pool):
    """The mean of each window's real pixels, channel by channel; parameters as for `MaxPool`."""

    kind: ClassVar[str] = "AvgPool"


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """sigma of each element; immutable.

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
    """The sum of its inputs, each times a factor; immutable.

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
    demand: ClassVar[str] = "inputs must have one shape"
    several_inputs: ClassVar[bool] = True
    factors: Sequence[float] | None = None
    activation: str | ActivationFunction | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factors is None:
            return
        if isinstance(self.factors, (str, bytes, np.ma.MaskedArray)) or not hasattr(
            self.factors, "__len__"
        ):
            raise TypeError(f"{self.kind}: factors must be numbers, got {self.factors!r}")
        factors = tuple(_factor(self.kind, factor) for factor in self.factors)
        if len(factors) != len(self.inputs or ()):
            raise ValueError(
                f"{self.kind}: factors must be one for each of {len(self.inputs or ())} inputs, "
                f"got {len(factors)}"
            )
        self._set(factors=None if set(factors) == {1.0} else factors)

    def numbers(self, count: int) -> list[float]:
        return [1.0] * count if self.factors is None else list(self.factors)

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "factors": self.factors}


def _factor(kind: str, value: Any) -> float:
    if isinstance(value, (bool, str, bytes)) or np.ndim(value):
        raise TypeError(f"{kind}: factors must be numbers, got {value!r}")
    try:
        factor = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{kind}: factors must be numbers, got {value!r}") from None
    if not -inf < factor < inf:
        raise ValueError(f"{kind}: factors must be finite, got {factor}")
    return factor


@dataclass(frozen=True, repr=False)
class Multiply(Layer):
    """The product of its inputs, element by element; immutable.

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
    demand: ClassVar[str] = "inputs must have one shape"
    several_inputs: ClassVar[bool] = True
    activation: str | ActivationFunction | None = None


@dataclass(frozen=True, repr=False)
class Concat(Layer):
    """The channels of its inputs, one after the other; immutable.

    Parameters
    ----------
    inputs : sequence of str
        Names of two or more layers, whose outputs have one height and width.
    name
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Concat"
    demand: ClassVar[str] = "inputs must have one height and width"
    several_inputs: ClassVar[bool] = True


@dataclass(frozen=True, repr=False)
class Scale(Layer):
    """sigma(gain x + bias), a gain and a bias for each channel in theta; immutable.

    What a batch normalisation with fixed moments is. The gains begin at 1, the biases at 0.

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


@dataclass(frozen=True, repr=False)
class Crop(Layer):
    """An image without some rows and columns at its borders; immutable.

    Parameters
    ----------
    crop : int, (height, width) or ((top, bottom), (left, right))
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Crop"
    demand: ClassVar[str] = "crop must leave at least one row and one column"
    crop: Size | Sequence[Sequence[SupportsIndex]]

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.crop, str):
            raise TypeError(f"{self.kind}: crop must be sizes, got {self.crop!r}")
        _, _, crop, *_ = window_sizes(self.kind, 1, 1, self.crop, 1, 1, None, "kernel")
        self._set(crop=crop)

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        _image(function, shapes[0])
        crop: Any = self.crop
        (top, bottom), (left, right) = crop
        return [top, bottom, left, right]


# every class that a network may be made of; descriptions name them by their kind
LAYERS: dict[str, type[Layer]] = {
    layer.kind: layer
    for layer in (
        Activation,
        Add,
        AvgPool,
        Concat,
        Conv,
        Crop,
        Dense,
        MaxPool,
        Multiply,
        Scale,
    )
}
