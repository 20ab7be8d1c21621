from typing import Any

from numpy.typing import ArrayLike, NDArray

def dense(
    Z: ArrayLike,
    W: ArrayLike,
    b: ArrayLike | None = None,
    relu: bool = False,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def dense_backward(
    dS: ArrayLike,
    Z: ArrayLike,
    W: ArrayLike,
    need_dZ: bool = True,
    need_dW: bool = True,
    need_db: bool = True,
) -> tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]: ...
