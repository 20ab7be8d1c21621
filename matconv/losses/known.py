"""The losses that are included, and their list `LOSSES`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels._arrays import refuse_masked
from .protocol import Array, Loss


def _labels(name: str, Y: Array, l: int, n_outputs: int) -> Array:
    """Return Y as class indices, one for each image."""
    if Y.shape != (l,):
        raise ValueError(f"{name}: Y must have one label per image, {l}, got shape {Y.shape}")
    if l and not (Y.min() >= 0 and Y.max() < n_outputs):
        raise ValueError(
            f"{name}: labels must be from 0 to {n_outputs - 1}, one per output of the network, "
            f"got {Y.min()} to {Y.max()}"
        )
    return Y.astype(np.intp, copy=False)


def _targets(name: str, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
    """Return Y as labels (l integers) or as rows (l x n_outputs, in the network's dtype)."""
    refuse_masked(name, "Y", Y)
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


class _EqualByClass:
    """Equality by class, for losses without parameters.

    Objects of subclasses, which may have parameters, compare by identity.
    """

    def __eq__(self, other: object) -> bool:
        if type(self) not in LOSSES.values() or type(other) is not type(self):
            return NotImplemented
        return True

    def __hash__(self) -> int:
        return hash(type(self)) if type(self) in LOSSES.values() else object.__hash__(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class SquaredLoss(_EqualByClass):
    """Squared error: xi = ||z - y||^2, as in the notes.

    An integer label c stands for the one-hot vector y with y_c = 1.

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


class SoftmaxLoss(_EqualByClass):
    """Cross-entropy of softmax(z): xi = log sum_j exp(z_j) - z_y.

    ``Y`` may also have a row of probabilities p for each image; then
    xi = log sum_j exp(z_j) - sum_j p_j z_j. The maximum of z is subtracted first, so that exp does
    not overflow.

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
            # rounding errors of n_outputs elements and of as many additions
            bound = 2 * n_outputs * np.finfo(y.dtype).eps
            if not ((y >= 0).all() and (abs(total - 1) <= bound).all()):
                raise ValueError("softmax loss: each row of Y must be >= 0 and sum to 1")
        return y

    @staticmethod
    def probabilities(z: Array) -> Array:
        """Return softmax(z), row by row.

        Parameters
        ----------
        z : ndarray, shape (images, n_outputs)

        Returns
        -------
        ndarray, shape of z
            The sum of each row is 1 up to rounding; a row of z with NaN or +inf becomes NaN.
        """
        with np.errstate(all="ignore"):
            exponentials = np.exp(z - z.max(axis=1, keepdims=True))
            exponentials /= exponentials.sum(axis=1, keepdims=True)
        return exponentials

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


# every loss that has a name
LOSSES: dict[str, type] = {"squared": SquaredLoss, "softmax": SoftmaxLoss}


def get_loss(loss: str | Loss) -> Loss:
    """Return the loss with a name; a loss that is an object is returned as it is.

    Raises
    ------
    ValueError
        If no loss has this name.
    TypeError
        If an object lacks a method of `Loss`.
    """
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(sorted(LOSSES))}, got {loss!r}")
        return LOSSES[loss]()
    if isinstance(loss, type) or not isinstance(loss, Loss):
        raise TypeError(
            "loss must be a name or an object with targets, value and value_and_gradient, "
            f"got {loss!r} ({type(loss).__name__})"
        )
    return loss


def usual_loss(n_outputs: int) -> str:
    """Return the name of the default loss of a network with ``n_outputs`` outputs.

    >>> usual_loss(10), usual_loss(1)
    ('softmax', 'squared')
    """
    return "softmax" if n_outputs > 1 else "squared"


def compiled_name(loss: Loss) -> str:
    """Return the name of a loss that compiled code evaluates; "" for any other loss."""
    for name, known in LOSSES.items():
        if type(loss) is known:
            return name
    return ""
