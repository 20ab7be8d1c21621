from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

class Predictor:
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    def __init__(self, data: bytes | bytearray | memoryview) -> None: ...
    def workspace_size(self, n: int) -> int: ...
    def into(
        self, Z: ArrayLike, out: NDArray[Any] | None, scratch: NDArray[Any] | None = None
    ) -> NDArray[Any]: ...
    def __call__(self, Z: ArrayLike) -> NDArray[Any]: ...
