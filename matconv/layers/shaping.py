"""Layers that change the shape of images: Concat, Crop, Pad, Slice, Upsample."""

from typing import ClassVar

from ..arguments import as_flag, as_text
from ..kernels._sizes import as_pair, as_size
from ..kernels._upsample import upsample_words
from .base import Layer
from .windows import Shape, Sides, Size, as_sides, four, image_shape


class Concat(Layer):
    """Concatenation of channels: z_out = [z_0; z_1; ...]. Immutable.

    Images of shapes (height, width, d_0), (height, width, d_1), ... become one of shape
    (height, width, d_0 + d_1 + ...); vectors are concatenated.

    Parameters
    ----------
    inputs : sequence of str
        Names of two or more layers, whose outputs have the same height and width.
    name
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Concat"
    demand: ClassVar[str] = "inputs must have one height and width"


class Crop(Layer):
    """Removal of rows and columns at the borders of an image. Immutable.

    An image of shape (height, width, d) becomes one of shape
    (height - top - bottom, width - left - right, d), or, with ``like``, one of the height and width
    of another layer's output.

    Parameters
    ----------
    crop : int, (height, width) or ((top, bottom), (left, right)), optional
        Number of rows and columns to remove. With ``like``: only of those at the top and left, an
        integer or (top, left); by default half of all, rounded down.
    like : str, optional
        Name of an earlier layer, or "input", whose height and width the output has.
    name, inputs
        See `matconv.layers.Layer`.

    Examples
    --------
    >>> from matconv import Conv, Crop, Network
    >>> net = Network((9, 9, 1), [Conv(4, 4, name="c"), Crop(like="c", inputs="input")],
    ...               outputs=["c", "crop2"])
    >>> net.output_shape
    ((6, 6, 4), (6, 6, 1))
    """

    kind: ClassVar[str] = "Crop"
    demand: ClassVar[str] = "crop must leave at least one row and one column"
    crop: Sides | None = None
    like: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.like is None:
            if self.crop is None:
                raise TypeError(f"{self.kind}: crop must be sizes, or like must name a layer")
            self._set(crop=as_sides(self.kind, "crop", self.crop))
            return
        self._set(like=as_text(f"{self.kind}: like", self.like))
        if self.crop is not None:
            if isinstance(self.crop, str):
                raise TypeError(f"{self.kind}: crop must be sizes, got {self.crop!r}")
            top, left = as_pair(self.kind, "crop", self.crop)
            if min(top, left) < 0:
                raise ValueError(f"{self.kind}: crop must be at least 0, got {top} x {left}")
            self._set(crop=(top, left))

    @classmethod
    def input_limits(cls) -> tuple[int, int]:
        return 1, 1  # the layer that `like` names comes after these

    @property
    def shape_of(self) -> str | None:
        return self.like

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        shape = image_shape(function, shapes[0])
        if self.like is None:
            return four(self.crop)
        wanted = image_shape(function, shapes[1])
        more = [n - m for n, m in zip(shape[:2], wanted[:2], strict=True)]
        top, left = [n // 2 for n in more]
        if self.crop is not None:
            top, left = as_pair(function, "crop", self.crop)
        sides = (top, more[0] - top), (left, more[1] - left)
        if min(map(min, sides)) < 0:
            raise ValueError(
                f"{function}: there is no part of {wanted[0]} x {wanted[1]} pixels at row {top}, "
                f"column {left}"
            )
        return four(sides)


class Pad(Layer):
    """Rows and columns of zeros around an image. Immutable.

    An image of shape (height, width, d) becomes one of shape
    (height + top + bottom, width + left + right, d).

    Parameters
    ----------
    pad : int, (height, width) or ((top, bottom), (left, right))
        Number of rows and columns to add.
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Pad"
    pad: Sides

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(pad=as_sides(self.kind, "pad", self.pad))

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        image_shape(function, shapes[0])
        return four(self.pad)


class Slice(Layer):
    """Some of the channels of an image, or of the elements of a vector. Immutable.

    An image of shape (height, width, d) becomes one of shape (height, width, stop - start).

    Parameters
    ----------
    start, stop : int
        The first channel and the first one after the slice, 0 <= start < stop <= d.
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Slice"
    demand: ClassVar[str] = "the slice must be a part of the channels"
    start: int
    stop: int

    def __post_init__(self) -> None:
        super().__post_init__()
        start = as_size(self.kind, "start", self.start)
        stop = as_size(self.kind, "stop", self.stop)
        if not 0 <= start < stop:
            raise ValueError(f"{self.kind}: 0 <= start < stop is needed, got {start} and {stop}")
        self._set(start=start, stop=stop)

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        return [self.start, self.stop]


class Upsample(Layer):
    """Enlarged images: each pixel repeated, or bilinear interpolation. Immutable.

    An image of shape (height, width, d) becomes one of shape (factor height, factor width, d).

    Parameters
    ----------
    factor : int or (height, width)
    method : "nearest" or "bilinear"
    align_corners : bool
        See `matconv.upsample2d`.
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Upsample"
    factor: Size
    method: str = "nearest"
    align_corners: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(align_corners=as_flag(f"{self.kind}: align_corners", self.align_corners))
        words = upsample_words(self.kind, self.factor, self.method, self.align_corners)
        self._set(factor=words[:2])

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        image_shape(function, shapes[0])
        return [*upsample_words(function, self.factor, self.method, self.align_corners)]
