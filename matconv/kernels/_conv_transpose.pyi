from typing import Any, SupportsIndex

from numpy.typing import ArrayLike, NDArray

from ._conv import _Gradients
from ._geometry import _Padding, _Pair

def transposed_shape(
    function: str,
    size: _Pair,
    kernel: _Pair,
    upsample: _Pair = 1,
    crop: _Padding = 0,
    dilation: _Pair = 1,
    extra: _Pair = 0,
) -> tuple[int, int]: ...
def conv_transpose2d(
    Z: ArrayLike,
    W: ArrayLike,
    b: ArrayLike | None = None,
    upsample: _Pair = 1,
    crop: _Padding = 0,
    dilation: _Pair = 1,
    extra: _Pair = 0,
    groups: SupportsIndex = 1,
    relu: bool = False,
    out: NDArray[Any] | None = None,
    algorithm: str = "auto",
) -> NDArray[Any]: ...
def conv_transpose2d_backward(
    dS: ArrayLike,
    Z: ArrayLike,
    W: ArrayLike,
    upsample: _Pair = 1,
    crop: _Padding = 0,
    dilation: _Pair = 1,
    extra: _Pair = 0,
    groups: SupportsIndex = 1,
    need_dZ: bool = True,
    need_dW: bool = True,
    need_db: bool = True,
    algorithm: str = "auto",
) -> _Gradients: ...
