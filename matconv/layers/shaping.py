"""Layers that only move elements: Concat, Crop."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Layer
from .windows import Shape, Sides, as_sides, four, image_shape


@dataclass(frozen=True, repr=False)
class Concat(Layer):
    """z_out = [z_0; z_1; ...], the channels of one input after those of the other; immutable.

    Images (b, a, d_0), (b, a, d_1), ... become (b, a, d_0 + d_1 + ...), and so do vectors.

    Parameters
    ----------
    inputs : sequence of str
        Names of two or more layers, whose outputs have one height and width.
    name
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Concat"
    demand: ClassVar[str] = "inputs must have one height and width"


@dataclass(frozen=True, repr=False)
class Crop(Layer):
    """Z_out = Z without some rows and columns at its borders; immutable.

    An image (b, a, d) becomes (b - top - bottom, a - left - right, d).

    Parameters
    ----------
    crop : int, (height, width) or ((top, bottom), (left, right))
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Crop"
    demand: ClassVar[str] = "crop must leave at least one row and one column"
    crop: Sides

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(crop=as_sides(self.kind, "crop", self.crop))

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        image_shape(function, shapes[0])
        return four(self.crop)
