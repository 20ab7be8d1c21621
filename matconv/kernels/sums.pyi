import numpy as np

def add(left: np.ndarray, right: np.ndarray) -> None: ...
def regularise(
    theta: np.ndarray,
    C: float,
    left: np.ndarray | None = None,
    right: np.ndarray | None = None,
    factor: float | np.ndarray = 1.0,
) -> float: ...
def descend(
    theta: np.ndarray,
    gradient: np.ndarray,
    out: np.ndarray,
    rate: float,
    momentum: float = 0.0,
    velocity: np.ndarray | None = None,
    nesterov: bool = False,
    mean: np.ndarray | None = None,
    share: float = 1.0,
) -> None: ...
def pause() -> None: ...
