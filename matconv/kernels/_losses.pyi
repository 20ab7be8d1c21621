import numpy as np

CODES: dict[str, int]

def hessian_product(
    code: int,
    z: np.ndarray,
    y: np.ndarray,
    tz: np.ndarray,
    weights: np.ndarray | None = None,
    divisor: float = 1.0,
    parameter: float = 0.0,
) -> np.ndarray: ...
def factor(
    code: int,
    z: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None = None,
    divisor: float = 1.0,
    parameter: float = 0.0,
) -> np.ndarray: ...
