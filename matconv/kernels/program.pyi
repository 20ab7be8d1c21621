from typing import Unpack

import numpy as np

from ._first_order import FirstOrder, PassOptions

LOSSES: dict[str, int]

class Program(FirstOrder):
    @property
    def tangent_bytes(self) -> int: ...
    @property
    def hessian_bytes(self) -> int: ...
    @property
    def gradients_bytes(self) -> int: ...
    def without_tangent(self, backward: bool) -> int: ...
    def tangent(
        self,
        theta: np.ndarray,
        prepared: np.ndarray,
        v: np.ndarray,
        t_prepared: np.ndarray,
        l: int,
        block: np.ndarray,
        t_block: np.ndarray,
        *,
        state: np.ndarray | None = None,
        hessian: bool = False,
        **options: Unpack[PassOptions],
    ) -> np.ndarray: ...
    def tangent_backward(
        self,
        theta: np.ndarray,
        prepared: np.ndarray,
        v: np.ndarray,
        t_prepared: np.ndarray,
        dz: np.ndarray,
        tdz: np.ndarray,
        block: np.ndarray,
        t_block: np.ndarray,
        product: np.ndarray,
        *,
        state: np.ndarray | None = None,
        gradients: np.ndarray | None = None,
        has_gradients: bool = False,
        add: bool = False,
        **options: Unpack[PassOptions],
    ) -> None: ...
    @property
    def image_scratch_bytes(self) -> int: ...
    def image_gradients(
        self,
        theta: np.ndarray,
        prepared: np.ndarray,
        dz: np.ndarray,
        block: np.ndarray,
        gradients: np.ndarray,
        *,
        rows: np.ndarray | None = None,
        squares: np.ndarray | None = None,
        total: np.ndarray | None = None,
        row: np.ndarray | None = None,
        inputs: np.ndarray | None = None,
        **options: Unpack[PassOptions],
    ) -> None: ...
    def gauss_newton(
        self,
        code: int,
        theta: np.ndarray,
        prepared: np.ndarray,
        v: np.ndarray,
        t_prepared: np.ndarray,
        l: int,
        y: np.ndarray,
        divisor: float,
        block: np.ndarray,
        t_block: np.ndarray,
        product: np.ndarray,
        *,
        exact: bool = False,
        state: np.ndarray | None = None,
        gradients: np.ndarray | None = None,
        has_gradients: bool = False,
        weights: np.ndarray | None = None,
        parameter: float = 0.0,
        add: bool = False,
        **options: Unpack[PassOptions],
    ) -> None: ...
