from collections.abc import Sequence
from typing import Any, SupportsIndex

from numpy.typing import ArrayLike, NDArray

from ._geometry import _Pair

METHODS: tuple[str, ...]

def upsample_words(
    function: str, factor: _Pair, method: str, align_corners: bool
) -> tuple[int, int, int]: ...
def upsample2d(
    Z: ArrayLike,
    factor: _Pair,
    method: str = "nearest",
    align_corners: bool = False,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def upsample2d_backward(
    dZ_out: ArrayLike,
    shape: Sequence[SupportsIndex],
    factor: _Pair,
    method: str = "nearest",
    align_corners: bool = False,
) -> NDArray[Any]: ...
