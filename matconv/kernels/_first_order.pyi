from typing import Any, Self, TypedDict, Unpack, type_check_only

import numpy as np
from typing_extensions import disjoint_base

# how threads share a pass
@type_check_only
class Sharing(TypedDict, total=False):
    n_threads: int
    shared: bool
    extra: np.ndarray | None

@type_check_only
class PassOptions(Sharing, total=False):
    dropout: tuple[int, int, np.ndarray] | None

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
        **sharing: Unpack[Sharing],
    ) -> None: ...
    def forward(
        self,
        theta: np.ndarray,
        prepared: np.ndarray,
        Z: np.ndarray,
        block: np.ndarray,
        *,
        state: np.ndarray | None = None,
        **options: Unpack[PassOptions],
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
        **options: Unpack[PassOptions],
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
        **options: Unpack[PassOptions],
    ) -> float: ...
