from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import disjoint_base

@disjoint_base
class Predictor:
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    def __new__(cls, data: bytes | bytearray | memoryview) -> Self: ...
    def workspace_size(self, n: int) -> int: ...
    def into(
        self, Z: ArrayLike, out: NDArray[Any] | None, scratch: NDArray[Any] | None = None
    ) -> NDArray[Any]: ...
    def __call__(self, Z: ArrayLike) -> NDArray[Any]: ...
