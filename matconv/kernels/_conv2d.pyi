from typing import Any, SupportsIndex

from numpy.typing import ArrayLike, NDArray

from ._conv import _Gradients
from ._geometry import _Padding, _Pair

def conv2d(
    Z: ArrayLike,
    W: ArrayLike,
    b: ArrayLike | None = None,
    stride: _Pair = 1,
    pad: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    relu: bool = False,
    out: NDArray[Any] | None = None,
    algorithm: str = "auto",
) -> NDArray[Any]: ...
def conv2d_backward(
    dS: ArrayLike,
    Z: ArrayLike,
    W: ArrayLike,
    stride: _Pair = 1,
    pad: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    need_dZ: bool = True,
    need_dW: bool = True,
    need_db: bool = True,
    algorithm: str = "auto",
) -> _Gradients: ...
