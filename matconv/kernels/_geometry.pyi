from collections.abc import Sequence
from typing import SupportsIndex, TypeAlias

from typing_extensions import disjoint_base

from ._sizes import as_size as as_size

_Pair: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
_Padding: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | Sequence[Sequence[SupportsIndex]]
_Size: TypeAlias = tuple[int, int]
_Sides: TypeAlias = tuple[_Size, _Size]

def window_sizes(
    function: str,
    kernel: _Pair,
    stride: _Pair = 1,
    pad: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    channels: SupportsIndex | None = None,
    kernel_name: str = "kernel",
) -> tuple[_Size, _Size, _Sides, _Size, int, int | None]: ...
def check_pool_padding(function: str, window: _Size, pad: _Sides) -> None: ...

@disjoint_base
class WindowGeometry:
    def __init__(
        self,
        function: str,
        shape: Sequence[SupportsIndex],
        kernel: _Pair,
        stride: _Pair = 1,
        pad: _Padding = 0,
        dilation: _Pair = 1,
        groups: SupportsIndex = 1,
        channels: SupportsIndex | None = None,
        kernel_name: str = "kernel",
    ) -> None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @property
    def function(self) -> str: ...
    @property
    def kernel_name(self) -> str: ...
    def with_images(self, l: SupportsIndex) -> WindowGeometry: ...
    @property
    def shape(self) -> tuple[int, int, int, int]: ...
    @property
    def out_shape(self) -> tuple[int, int, int, int]: ...
    @property
    def kernel(self) -> tuple[int, int]: ...
    @property
    def stride(self) -> tuple[int, int]: ...
    @property
    def dilation(self) -> tuple[int, int]: ...
    @property
    def pad(self) -> tuple[tuple[int, int], tuple[int, int]]: ...
    @property
    def groups(self) -> int: ...
    @property
    def filter_shape(self) -> tuple[int, int, int, int]: ...
