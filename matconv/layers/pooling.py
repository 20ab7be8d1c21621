"""Layers that reduce each window of an image to one pixel: MaxPool, AvgPool."""

from typing import Any, ClassVar

from ..arguments import as_flag
from ..kernels._geometry import check_pool_padding
from ..kernels._pool import pool_geometry
from ..kernels._sizes import counted_padding
from .base import Layer
from .windows import Pad, Shape, Size, as_window, four, image_shape, padding, shortest


class Pool(Layer):
    """Base class of pooling layers, with the window, its stride and the padding."""

    window: Size | str
    stride: Size | None = None
    pad: Pad = 0
    ceil: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(ceil=as_flag(f"{self.kind}: ceil", self.ceil))
        if isinstance(self.window, str) and self.window == "image":
            # raises if there is a stride or a pad
            pool_geometry(self.kind, (1, 1, 1, 1), self.window, self.stride, self.pad)  # type: ignore[arg-type]
            return
        stride = self.window if self.stride is None else self.stride
        window, stride, pad, *_ = as_window(self.kind, self.window, stride, self.pad, name="window")
        if pad != "same":
            check_pool_padding(self.kind, window, pad)
        self._set(window=window, stride=stride, pad=pad)

    def arguments(self) -> dict[str, Any]:
        stride = None if self.stride == self.window else shortest(self.stride)
        return {**super().arguments(), "stride": stride}

    def sides(self, shape: Shape) -> Any:
        """Return the padding of images of a shape, ((top, bottom), (left, right)) or 0."""
        return padding(self.pad, shape, self.window, self.stride)

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        shape = image_shape(function, shapes[0])
        geometry = pool_geometry(
            function, (1, *shape), self.window, self.stride, self.sides(shape), self.ceil
        )
        return [*geometry.kernel, *geometry.stride, *four(geometry.pad)]


class MaxPool(Pool):
    """Max-pooling: the maximum of each window, channel by channel.

    An image of shape (height, width, d) becomes one of shape (out_height, out_width, d). Immutable;
    layers with equal attributes are equal.

    Parameters
    ----------
    window : int, (height, width) or "image"
        "image": one window of all pixels, without stride and pad.
    stride : int or (height, width), optional
        The window by default.
    pad : int, (height, width), ((top, bottom), (left, right)) or "same"
        Pixels added around each image, on each side fewer than the window has. They are never the
        maximum.
        "same" adds as many as are needed for ``ceil(n / stride)`` output rows (columns) for n
        input rows (columns).
    ceil : bool
        Whether windows may extend beyond the padding at the bottom and right: see
        `matconv.max_pool2d`.
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


class AvgPool(Pool):
    """Average pooling: the mean of each window, channel by channel.

    Padding is not part of the mean: it is over the pixels of the window that are in the image.
    Shapes, parameters and errors are those of `MaxPool`, and there is one more parameter.

    Parameters
    ----------
    count_pad : bool
        Whether the sum is divided by the number of pixels in the image or its padding: see
        `matconv.avg_pool2d`.
    """

    kind: ClassVar[str] = "AvgPool"
    count_pad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(count_pad=as_flag(f"{self.kind}: count_pad", self.count_pad))

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        words = super().words(shapes, function, algorithm)
        counted = counted_padding(function, self.sides(shapes[0]), self.count_pad)
        return [*words, *(counted or (-1, -1))]
