from typing import Any

from numpy.typing import ArrayLike, NDArray

def bias_relu(S: ArrayLike, b: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]: ...
def bias_relu_backward(
    dZ: ArrayLike, Z: ArrayLike, out: NDArray[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any]]: ...
