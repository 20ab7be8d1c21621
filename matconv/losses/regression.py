"""Losses of the residual r = z - y: squared, absolute, Huber."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arguments import as_real
from . import targets
from .base import ElementLoss, total
from .protocol import Array


class ResidualLoss(ElementLoss):
    """A loss of the residual; Y has labels, which stand for one-hot vectors, or rows."""

    def targets(self, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
        return targets.labels_or_rows(self.title, Y, l, n_outputs, dtype)

    def _residual(self, z: Array, y: Array) -> Array:
        if y.ndim == 2:
            return z - y
        residual = z.copy()
        residual[np.arange(len(y)), y] -= 1
        return residual


class SquaredLoss(ResidualLoss):
    """Squared error: xi = ||z - y||^2, as in the notes. B = 2 I.

    An integer label c stands for the one-hot vector y with y_c = 1.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import SquaredLoss
    >>> z = np.array([[1.0, 3.0]])
    >>> SquaredLoss().value_and_gradient(z, np.array([1]))
    (5.0, array([[2., 4.]]))
    """

    name: ClassVar[str] = "squared"

    def _value_and_gradient(self, z: Array, y: Array) -> tuple[float, Array]:
        residual = self._residual(z, y)
        return total(residual * residual), 2 * residual

    def _elements(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        residual = z - y
        return residual * residual, 2 * residual, np.full_like(z, 2)


class AbsoluteLoss(ResidualLoss):
    """Absolute error: xi = sum_j |z_j - y_j|.

    The derivative at z_j = y_j is taken to be 0. B = 0: xi is linear between its kinks.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import AbsoluteLoss
    >>> AbsoluteLoss().value_and_gradient(np.array([[1.0, 3.0]]), np.array([[2.0, 3.0]]))
    (1.0, array([[-1.,  0.]]))
    """

    name: ClassVar[str] = "absolute"

    def _elements(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        residual = z - y
        return np.abs(residual), np.sign(residual), np.zeros_like(z)

    def _factor(self, z: Array, y: Array) -> Array:
        return np.zeros((*z.shape, 0), z.dtype)


@dataclass(frozen=True, eq=False)
class HuberLoss(ResidualLoss):
    """Huber's loss: squared for small residuals, absolute for large ones.

        xi = sum_j r_j^2 / 2 if |r_j| <= delta, otherwise delta (|r_j| - delta / 2),   r = z - y

    B = diag(1 if |r_j| <= delta, otherwise 0).

    Parameters
    ----------
    delta : float
        Positive and finite. The name "huber" stands for ``HuberLoss()``, "huber:0.5" for
        ``HuberLoss(0.5)``.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If delta is invalid.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter" (1964).

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import HuberLoss
    >>> HuberLoss(2.0).value_and_gradient(np.array([[1.0, 5.0]]), np.array([[0.0, 0.0]]))
    (8.5, array([[1., 2.]]))
    """

    name: ClassVar[str] = "huber"
    delta: float = 1.0

    def __post_init__(self) -> None:
        delta = as_real("HuberLoss: delta", self.delta)
        if not 0 < delta < np.inf:
            raise ValueError(f"HuberLoss: delta must be positive and finite, got {delta:g}")
        object.__setattr__(self, "delta", delta)

    @property
    def parameter(self) -> float:
        return self.delta

    def _elements(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        large, delta = np.abs(r) > self.delta, z.dtype.type(self.delta)
        xi = np.where(large, delta * (np.abs(r) - delta / 2), r * r / 2)
        return xi, np.where(large, delta * np.sign(r), r), np.where(large, 0, 1).astype(z.dtype)
