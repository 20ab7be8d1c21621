"""Losses: xi(z^{L+1,i}; y^i), summed over a shard, and its gradient for the outputs.

A loss is an object with the three methods of `Loss`; a user's own is passed to `Objective` as it
is, the ones here also by name.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@runtime_checkable
class Loss(Protocol):
    """What `Objective` asks of a loss."""

    def targets(self, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
        """Y checked, as one entry or row per image: what the other methods get slices of."""

    def value(self, z: Array, y: Array) -> float:
        """The sum of xi over the rows of z, (images, n_outputs)."""

    def value_and_gradient(self, z: Array, y: Array) -> tuple[float, Array]:
        """That sum, and its gradient for z, of z's shape and dtype."""


def _labels(name: str, Y: Array, l: int, n_outputs: int) -> Array:
    """Y as class indices, one per image."""
    if Y.shape != (l,):
        raise ValueError(f"{name}: Y must have one label per image, {l}, got shape {Y.shape}")
    if l and not (Y.min() >= 0 and Y.max() < n_outputs):
        raise ValueError(
            f"{name}: labels must be from 0 to {n_outputs - 1}, one per output of the network, "
            f"got {Y.min()} to {Y.max()}"
        )
    return Y.astype(np.intp, copy=False)


def _targets(name: str, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
    """Y as labels (integers, one per image) or rows (one number per output)."""
    if isinstance(Y, np.ma.MaskedArray):
        raise TypeError(f"{name}: Y is a masked array; fill it or drop the mask first")
    Y = np.asarray(Y)
    if Y.dtype.kind in "iu":
        return _labels(name, Y, l, n_outputs)
    if Y.dtype.kind != "f":
        raise TypeError(f"{name}: Y must be integer labels or rows of {dtype}, got {Y.dtype}")
    if Y.ndim == 1:
        raise TypeError(f"{name}: labels must be integers, got {Y.dtype}")
    if Y.shape != (l, n_outputs):
        raise ValueError(
            f"{name}: Y must have shape ({l}, {n_outputs}), a row per image and a column per "
            f"output of the network, got {Y.shape}"
        )
    return Y.astype(dtype, copy=False)


def _total(x: Array) -> float:
    return float(x.sum(dtype=np.float64))


class SquaredLoss:
    """xi = ||z - y||^2, as in the notes; integer labels become one-hot rows.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import SquaredLoss
    >>> z = np.array([[1.0, 3.0]])
    >>> SquaredLoss().value_and_gradient(z, np.array([1]))
    (5.0, array([[2., 4.]]))
    """

    def targets(self, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
        return _targets("squared loss", Y, l, n_outputs, dtype)

    def _residual(self, z: Array, y: Array) -> Array:
        if y.ndim == 2:
            return z - y
        residual = z.copy()
        residual[np.arange(len(y)), y] -= 1
        return residual

    def value(self, z: Array, y: Array) -> float:
        residual = self._residual(z, y)
        return _total(residual * residual)

    def value_and_gradient(self, z: Array, y: Array) -> tuple[float, Array]:
        residual = self._residual(z, y)
        return _total(residual * residual), 2 * residual


class SoftmaxLoss:
    """Cross-entropy of softmax(z): xi = log sum_j exp(z_j) - z_y.

    ``Y`` may also hold rows of probabilities p: xi = log sum_j exp(z_j) - sum_j p_j z_j. Stable
    for outputs of any size: the largest is taken off first.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import SoftmaxLoss
    >>> value, gradient = SoftmaxLoss().value_and_gradient(np.zeros((1, 2)), np.array([1]))
    >>> round(value, 6), gradient
    (0.693147, array([[ 0.5, -0.5]]))
    """

    def targets(self, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
        if n_outputs < 2:
            raise ValueError(
                f"softmax loss: the network must have at least 2 outputs, got {n_outputs}"
            )
        y = _targets("softmax loss", Y, l, n_outputs, dtype)
        if y.ndim == 2:
            total = y.sum(axis=1)
            # each of the n_outputs numbers of a row is rounded, and so is each addition
            bound = 2 * n_outputs * np.finfo(y.dtype).eps
            if not ((y >= 0).all() and (abs(total - 1) <= bound).all()):
                raise ValueError("softmax loss: each row of Y must be >= 0 and sum to 1")
        return y

    def _exponentials(self, z: Array, y: Array) -> tuple[Array, Array, float]:
        shifted = z - z.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        total = exponentials.sum(axis=1, keepdims=True)
        if y.ndim == 2:
            score = (y * shifted).sum(axis=1)
        else:
            score = shifted[np.arange(len(y)), y]
        return exponentials, total, _total(np.log(total[:, 0]) - score)

    def value(self, z: Array, y: Array) -> float:
        return self._exponentials(z, y)[2]

    def value_and_gradient(self, z: Array, y: Array) -> tuple[float, Array]:
        dz, total, value = self._exponentials(z, y)
        dz /= total
        if y.ndim == 2:
            dz -= y
        else:
            dz[np.arange(len(y)), y] -= 1
        return value, dz


LOSSES: dict[str, type] = {"squared": SquaredLoss, "softmax": SoftmaxLoss}


def get_loss(loss: str | Loss) -> Loss:
    """The loss of that name, or the loss itself.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        For an object without the methods of `Loss`.
    """
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(sorted(LOSSES))}, got {loss!r}")
        return LOSSES[loss]()
    if not isinstance(loss, Loss):
        raise TypeError(
            "loss must be a name or an object with targets, value and value_and_gradient, "
            f"got {loss!r} ({type(loss).__name__})"
        )
    return loss
