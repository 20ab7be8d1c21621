"""Layers that reduce each window of an image to one pixel: MaxPool, AvgPool."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..kernels._geometry import check_pool_padding
from ..kernels._pool import pool_geometry
from .base import Layer
from .windows import Pad, Shape, Size, as_window, four, image_shape, padding, shortest


@dataclass(frozen=True, repr=False)
class Pool(Layer):
    """Base class of pooling layers, with the window, its stride and the padding."""

    window: Size
    stride: Size | None = None
    pad: Pad = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        stride = self.window if self.stride is None else self.stride
        window, stride, pad, *_ = as_window(self.kind, self.window, stride, self.pad, name="window")
        if pad != "same":
            check_pool_padding(self.kind, window, pad)
        self._set(window=window, stride=stride, pad=pad)

    def arguments(self) -> dict[str, Any]:
        stride = None if self.stride == self.window else shortest(self.stride)
        return {**super().arguments(), "stride": stride}

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        shape = image_shape(function, shapes[0])
        pad = padding(self.pad, shape, self.window, self.stride)
        geometry = pool_geometry(function, (1, *shape), self.window, self.stride, pad)
        return [*geometry.kernel, *geometry.stride, *four(geometry.pad)]


@dataclass(frozen=True, repr=False)
class MaxPool(Pool):
    """Max-pooling: the maximum of each window, channel by channel.

    An image of shape (height, width, d) becomes one of shape (out_height, out_width, d). Immutable;
    layers with equal attributes are equal.

    Parameters
    ----------
    window : int or (height, width)
    stride : int or (height, width), optional
        The window by default.
    pad : int, (height, width), ((top, bottom), (left, right)) or "same"
        Pixels added around each image, on each side fewer than the window has. They are never the
        maximum.
        "same" adds as many as are needed for ``ceil(n / stride)`` output rows (columns) for n
        input rows (columns).
    name, inputs
        See `matconv.layers.Layer`.

    Attributes
    ----------
    window, stride : (height, width)
    pad : ((top, bottom), (left, right)) or "same"

    Raises
    ------
    TypeError, ValueError, OverflowError
        If an argument is invalid for images of any size.

    Examples
    --------
    >>> from matconv import MaxPool
    >>> MaxPool(2) == MaxPool((2, 2), stride=2)
    True
    """

    kind: ClassVar[str] = "MaxPool"


@dataclass(frozen=True, repr=False)
class AvgPool(Pool):
    """Average pooling: the mean of each window, channel by channel.

    Padding is not part of the mean: it is over the pixels of the window that are in the image.
    Shapes, parameters and errors are those of `MaxPool`.
    """

    kind: ClassVar[str] = "AvgPool"
