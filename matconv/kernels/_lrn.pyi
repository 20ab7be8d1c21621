from typing import Any, SupportsFloat, SupportsIndex

from numpy.typing import ArrayLike, NDArray

def lrn_arguments(
    function: str,
    size: SupportsIndex,
    k: SupportsFloat,
    alpha: SupportsFloat,
    beta: SupportsFloat,
) -> tuple[int, float, float, float]: ...
def lrn(
    Z: ArrayLike,
    size: SupportsIndex = 5,
    k: SupportsFloat = 2.0,
    alpha: SupportsFloat = 1e-4,
    beta: SupportsFloat = 0.75,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def lrn_backward(
    dZ_out: ArrayLike,
    Z: ArrayLike,
    size: SupportsIndex = 5,
    k: SupportsFloat = 2.0,
    alpha: SupportsFloat = 1e-4,
    beta: SupportsFloat = 0.75,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
