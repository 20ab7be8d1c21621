"""Chain: layers that follow one another, with the size of the last output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arguments import as_real
from ..layers import AvgPool, Conv, Layer, MaxPool, Normal


def narrowed(channels: int, width: float, multiple: int = 1) -> int:
    """Return a multiple of ``multiple``, at least one, near to width times the channels.

    >>> narrowed(96, 0.125), narrowed(3, 0.1), narrowed(27, 0.5, multiple=2)
    (12, 1, 14)
    """
    return max(1, round(channels * width / multiple)) * multiple


def as_width(function: str, width: Any) -> float:
    """Return the factor of the channels, checked.

    Raises
    ------
    TypeError, ValueError
        If it is not a positive finite number.
    """
    number = as_real(f"{function}: width", width)
    if not 0 < number < float("inf"):
        raise ValueError(f"{function}: width must be positive and finite, got {number:g}")
    return number


def fan_out(channels: int, kernel: int) -> Normal:
    """Return He's initialisation with the number of outputs of one input, as torchvision has it."""
    return Normal((2 / (channels * kernel**2)) ** 0.5)


class Chain:
    """Layers that follow one another, and the height and width of the last output.

    Parameters
    ----------
    function : str
        Name of the network, the beginning of error messages.
    input_shape : (height, width, channels)
        Shape of the images.

    Attributes
    ----------
    layers : list of Layer
    size : (height, width)
    """

    def __init__(self, function: str, input_shape: Sequence[int]) -> None:
        self._function = function
        self.layers: list[Layer] = []
        self.size = tuple(input_shape)[:2]

    def add(self, *layers: Layer) -> None:
        """Append layers that keep the size."""
        self.layers += layers

    def conv(
        self, channels: int, kernel: int, stride: int = 1, pad: int = 0, **options: Any
    ) -> None:
        """Append a Conv."""
        self.add(Conv(channels, kernel, stride, pad, **options))
        self.size = tuple((n + 2 * pad - kernel) // stride + 1 for n in self.size)

    def max_pool(
        self, window: int, stride: int, pad: int = 0, *, ceil: bool = False, **options: Any
    ) -> None:
        """Append a MaxPool.

        With ``ceil``, as in Caffe, the number of outputs is rounded up: there is more padding at
        the bottom and at the right.
        """
        more = [(window - n - 2 * pad) % stride if ceil else 0 for n in self.size]
        sides = tuple((pad, pad + extra) for extra in more)
        self.add(MaxPool(window, stride, sides, **options))
        self.size = tuple(
            (n + 2 * pad + extra - window) // stride + 1 for n, extra in zip(self.size, more)
        )

    def global_pool(self, **options: Any) -> None:
        """Append an AvgPool of all pixels.

        Raises
        ------
        ValueError
            If none are left.
        """
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"{self._function}: the images are too small for the network")
        self.add(AvgPool(self.size, **options))
        self.size = (1, 1)
