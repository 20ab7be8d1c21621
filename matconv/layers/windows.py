"""Shapes of images, and sizes and padding of windows: helper functions of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

from ..kernels._geometry import window_sizes
from ..kernels._sizes import as_padding

Shape = tuple[int, ...]
Size = SupportsIndex | Sequence[SupportsIndex]
Sides = Size | Sequence[Sequence[SupportsIndex]]
Pad = Sides | str


def image_shape(function: str, shape: Shape) -> Shape:
    """Return the shape of an image, (height, width, channels).

    Raises
    ------
    ValueError
        If the shape is that of a vector.
    """
    if len(shape) != 3:
        raise ValueError(f"{function}: images are needed")
    return shape


def as_sides(kind: str, name: str, value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((top, bottom), (left, right)) from an integer, a pair or all four; none is negative.

    Raises
    ------
    TypeError, ValueError, OverflowError
    """
    if isinstance(value, str):
        raise TypeError(f"{kind}: {name} must be sizes, got {value!r}")
    sides = as_padding(kind, value, name)
    if min(map(min, sides)) < 0:
        raise ValueError(f"{kind}: {name} must be at least 0, got {shortest(sides)}")
    return sides


def four(sides: Any) -> list[int]:
    """Return [top, bottom, left, right]."""
    (top, bottom), (left, right) = sides
    return [top, bottom, left, right]


def as_window(
    kind: str,
    window: Any,
    stride: Any,
    pad: Any,
    dilation: Any = 1,
    groups: Any = 1,
    channels: Any = None,
    name: str = "kernel",
) -> tuple[Any, ...]:
    """Return the checked arguments of a window, as `window_sizes` does; pad may also be "same".

    Raises
    ------
    TypeError, ValueError, OverflowError
    """
    same = isinstance(pad, str)
    if same and pad != "same":
        raise ValueError(f"{kind}: pad must be sizes or 'same', got {pad!r}")
    window, stride, sides, *rest = window_sizes(
        kind, window, stride, 0 if same else pad, dilation, groups, channels, name
    )
    return window, stride, "same" if same else sides, *rest


def padding(pad: Any, shape: Shape, window: Any, stride: Any, dilation: Any = (1, 1)) -> Any:
    """Return ((top, bottom), (left, right)); the pad "same" is replaced by its sizes.

    "same" gives ceil(n / stride) outputs for n pixels. If the number of added pixels is odd, the
    bottom (right) gets one more than the top (left).
    """
    if pad != "same":
        return pad
    sides = []
    for n, h, s, dil in zip(shape, window, stride, dilation):
        # the last window ends at (outputs - 1) s + (h - 1) dil + 1
        total = max((-(-n // s) - 1) * s + (h - 1) * dil + 1 - n, 0)
        sides.append((total // 2, total - total // 2))
    return tuple(sides)


def shortest(value: Any) -> Any:
    """Return a size in its shortest form: 3 for (3, 3), (1, 2) for ((1, 1), (2, 2))."""
    if not isinstance(value, tuple):
        return value
    sides = tuple(shortest(side) for side in value)
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        return value
    return sides[0] if sides[0] == sides[1] else sides
