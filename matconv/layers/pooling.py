"""Layers that reduce each window of an image to one element: MaxPool, AvgPool."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..kernels._geometry import check_pool_padding
from ..kernels._pool import pool_geometry
from .base import Layer
from .windows import Pad, Shape, Size, as_window, four, image_shape, padding, shortest


@dataclass(frozen=True, repr=False)
class Pool(Layer):
    """Base class of pooling layers: the window, its stride and padding."""

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
    """z_out = max of the pixels in each window, channel by channel.

    An image (b, a, d) becomes (b_out, a_out, d). Immutable.

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
class AvgPool(Pool):
    """z_out = mean of the pixels in each window, channel by channel.

    The mean is over pixels of the image, without padding. Shapes, parameters and errors are those
    of `MaxPool`.
    """

    kind: ClassVar[str] = "AvgPool"
