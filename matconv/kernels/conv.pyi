from typing import Any, SupportsIndex, TypeAlias

from numpy.typing import ArrayLike, NDArray

from .geometry import WindowGeometry, _Padding, _Pair

_Gradients: TypeAlias = tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]

def scratch_size(geometry: WindowGeometry, backward: bool) -> int: ...
def forward(
    geometry: WindowGeometry,
    Z: ArrayLike,
    W: ArrayLike,
    b: ArrayLike | None = None,
    relu: bool = False,
    out: NDArray[Any] | None = None,
    scratch: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def backward(
    geometry: WindowGeometry,
    dS: ArrayLike,
    Z: ArrayLike,
    W: ArrayLike,
    need_dZ: bool = True,
    need_dW: bool = True,
    need_db: bool = True,
    out_dZ: NDArray[Any] | None = None,
    out_dW: NDArray[Any] | None = None,
    out_db: NDArray[Any] | None = None,
    scratch: NDArray[Any] | None = None,
) -> _Gradients: ...
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
) -> _Gradients: ...
