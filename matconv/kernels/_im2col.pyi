from collections.abc import Sequence
from typing import Any, SupportsIndex

from numpy.typing import ArrayLike, NDArray

from ._geometry import _Padding, _Pair

def im2col(
    Z: ArrayLike,
    kernel: _Pair,
    stride: _Pair = 1,
    pad: _Padding = 0,
    dilation: _Pair = 1,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def col2im(
    phi: ArrayLike,
    shape: Sequence[SupportsIndex],
    kernel: _Pair,
    stride: _Pair = 1,
    pad: _Padding = 0,
    dilation: _Pair = 1,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
