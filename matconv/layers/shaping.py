"""Layers that only move elements: Concat, Crop."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Layer
from .windows import Shape, Sides, as_sides, four, image_shape


@dataclass(frozen=True, repr=False)
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


@dataclass(frozen=True, repr=False)
class Crop(Layer):
    """Removal of rows and columns at the borders of an image. Immutable.

    An image of shape (height, width, d) becomes one of shape
    (height - top - bottom, width - left - right, d).

    Parameters
    ----------
    crop : int, (height, width) or ((top, bottom), (left, right))
        Number of rows and columns to remove.
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
