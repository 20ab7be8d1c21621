from collections.abc import Sequence
from typing import Any, Literal, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._geometry import WindowGeometry, _Padding, _Pair

_Indices: TypeAlias = NDArray[np.intc]
_Window: TypeAlias = _Pair | str

def pool_geometry(
    function: str,
    shape: Sequence[SupportsIndex],
    window: _Window,
    stride: _Pair | None = None,
    pad: _Padding = 0,
    ceil: bool = False,
) -> WindowGeometry: ...
def max_pool_forward(
    geometry: WindowGeometry,
    Z: ArrayLike,
    return_indices: bool = False,
    out: NDArray[Any] | None = None,
    indices: _Indices | None = None,
) -> tuple[NDArray[Any], _Indices | None]: ...
def max_pool_adjoint(
    geometry: WindowGeometry,
    dZ_out: ArrayLike,
    indices: _Indices,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def avg_pool_forward(
    geometry: WindowGeometry,
    Z: ArrayLike,
    out: NDArray[Any] | None = None,
    counted: tuple[int, int] | None = None,
) -> NDArray[Any]: ...
def avg_pool_adjoint(
    geometry: WindowGeometry,
    dZ_out: ArrayLike,
    out: NDArray[Any] | None = None,
    counted: tuple[int, int] | None = None,
) -> NDArray[Any]: ...
@overload
def max_pool2d(
    Z: ArrayLike,
    window: _Window,
    stride: _Pair | None = None,
    pad: _Padding = 0,
    return_indices: Literal[False] = False,
    out: NDArray[Any] | None = None,
    ceil: bool = False,
) -> NDArray[Any]: ...
@overload
def max_pool2d(
    Z: ArrayLike,
    window: _Window,
    stride: _Pair | None = None,
    pad: _Padding = 0,
    *,
    return_indices: Literal[True],
    out: NDArray[Any] | None = None,
    ceil: bool = False,
) -> tuple[NDArray[Any], _Indices]: ...
def max_pool2d_backward(
    dZ_out: ArrayLike, indices: _Indices, shape: Sequence[SupportsIndex]
) -> NDArray[Any]: ...
def avg_pool2d(
    Z: ArrayLike,
    window: _Window,
    stride: _Pair | None = None,
    pad: _Padding = 0,
    out: NDArray[Any] | None = None,
    ceil: bool = False,
    count_pad: bool = False,
) -> NDArray[Any]: ...
def avg_pool2d_backward(
    dZ_out: ArrayLike,
    shape: Sequence[SupportsIndex],
    window: _Window,
    stride: _Pair | None = None,
    pad: _Padding = 0,
    ceil: bool = False,
    count_pad: bool = False,
) -> NDArray[Any]: ...
