from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from typing_extensions import disjoint_base

from ._algorithms import NAMES as NAMES
from ._geometry import WindowGeometry

_Gradients: TypeAlias = tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]

@disjoint_base
class ConvPlan:
    geometry: WindowGeometry
    dtype: np.dtype[Any]
    def __init__(
        self,
        geometry: WindowGeometry,
        dtype: DTypeLike,
        algorithm: str = "auto",
        tile: tuple[int, int] | None = None,
    ) -> None: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def tile(self) -> tuple[int, int] | None: ...
    def scratch_size(self, backward: bool) -> int: ...
    def parts(self) -> int: ...

def forward(
    plan: ConvPlan,
    Z: ArrayLike,
    W: ArrayLike,
    b: ArrayLike | None = None,
    relu: bool = False,
    out: NDArray[Any] | None = None,
    scratch: NDArray[Any] | None = None,
    part: SupportsIndex = 0,
    parts: SupportsIndex = 1,
) -> NDArray[Any]: ...
def backward(
    plan: ConvPlan,
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
