from typing import Any, Self

import numpy as np
from typing_extensions import disjoint_base

@disjoint_base
class FirstOrder:
    dtype: np.dtype[Any]
    n: int
    n_steps: int
    def __new__(cls, description: bytes) -> Self: ...
    def shape(self, value: int) -> tuple[int, ...]: ...
    def arrays(self, step: int) -> list[tuple[int, int]]: ...
    def owner(self, step: int) -> int: ...
    def fan_in(self, step: int) -> int: ...
    def multiply_adds(self, step: int) -> int: ...
    def plan(self, images: int, target: int) -> None: ...
    @property
    def target(self) -> int: ...
    @property
    def training_bytes(self) -> int: ...
    @property
    def state_bytes(self) -> int: ...
    @property
    def inference_bytes(self) -> int: ...
    @property
    def whole_training_bytes(self) -> int: ...
    @property
    def whole_inference_bytes(self) -> int: ...
    @property
    def prepared_bytes(self) -> int: ...
    def extra_bytes(self, n_threads: int) -> int: ...
    def has_pieces(self, l: int, backward: bool) -> bool: ...
    def prepare(self, theta: np.ndarray, prepared: np.ndarray, backward: bool) -> None: ...
    def predict(
        self,
        theta: np.ndarray,
        prepared: np.ndarray,
        Z: np.ndarray,
        outputs: tuple[np.ndarray, ...],
        block: np.ndarray,
        *,
        n_threads: int = 1,
        shared: bool = False,
        extra: np.ndarray | None = None,
    ) -> None: ...
    def forward(
        self,
        theta: np.ndarray,
        prepared: np.ndarray,
        Z: np.ndarray,
        block: np.ndarray,
        *,
        state: np.ndarray | None = None,
        dropout: tuple[int, int, np.ndarray] | None = None,
        n_threads: int = 1,
        shared: bool = False,
        extra: np.ndarray | None = None,
    ) -> np.ndarray: ...
    def target_of(self, state: np.ndarray, l: int) -> np.ndarray: ...
    def backward(
        self,
        theta: np.ndarray,
        prepared: np.ndarray,
        Z: np.ndarray,
        dz: np.ndarray,
        block: np.ndarray,
        dtheta: np.ndarray,
        *,
        state: np.ndarray | None = None,
        add: bool = False,
        dropout: tuple[int, int, np.ndarray] | None = None,
        n_threads: int = 1,
        shared: bool = False,
        extra: np.ndarray | None = None,
    ) -> None: ...
    def loss(
        self,
        code: int,
        theta: np.ndarray,
        prepared: np.ndarray,
        Z: np.ndarray,
        y: np.ndarray,
        divisor: float,
        block: np.ndarray,
        dtheta: np.ndarray | None = None,
        *,
        weights: np.ndarray | None = None,
        parameter: float = 0.0,
        add: bool = False,
        dropout: tuple[int, int, np.ndarray] | None = None,
        n_threads: int = 1,
        shared: bool = False,
        extra: np.ndarray | None = None,
    ) -> float: ...
