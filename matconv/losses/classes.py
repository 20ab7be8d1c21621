"""Losses of classes that exclude each other: softmax, multiclass hinge, structured hinge."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from . import targets
from .base import KnownLoss, total
from .protocol import Array


class SoftmaxLoss(KnownLoss):
    """Cross-entropy of softmax(z): xi = log sum_j exp(z_j) - z_y.

    ``Y`` may also have a row of probabilities p for each image; then
    xi = log sum_j exp(z_j) - sum_j p_j z_j. The maximum of z is subtracted first, so that exp does
    not overflow. With p = softmax(z), B = diag(p) - p p' = S S', S = diag(sqrt p) - p sqrt(p)'.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import SoftmaxLoss
    >>> value, gradient = SoftmaxLoss().value_and_gradient(np.zeros((1, 2)), np.array([1]))
    >>> round(value, 6), gradient
    (0.693147, array([[ 0.5, -0.5]]))
    """

    name: ClassVar[str] = "softmax"

    def targets(self, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
        if n_outputs < 2:
            raise ValueError(
                f"softmax loss: the network must have at least 2 outputs, got {n_outputs}"
            )
        y = targets.labels_or_rows("softmax loss", Y, l, n_outputs, dtype)
        if y.ndim == 2:
            sums = y.sum(axis=1)
            # rounding errors of n_outputs elements and of as many additions
            bound = 2 * n_outputs * np.finfo(y.dtype).eps
            if not ((y >= 0).all() and (abs(sums - 1) <= bound).all()):
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

    def _value_and_gradient(self, z: Array, y: Array) -> tuple[float, Array]:
        rows, top = np.arange(len(z)), z.argmax(axis=1)
        shifted = z - z[rows, top, np.newaxis]
        dz = np.exp(shifted)
        # the term of the maximum, which is 1, would hide small ones
        dz[rows, top] = 0
        others = dz.sum(axis=1)
        dz /= 1 + others[:, np.newaxis]
        if y.ndim == 2:
            score, y_top = (y * shifted).sum(axis=1), y[rows, top]
            dz -= y
        else:
            score, y_top = shifted[rows, y], y == top
            dz[rows, y] -= 1
        dz[rows, top] = ((1 - y_top) - y_top * others) / (1 + others)
        return total(np.log1p(others) - score), dz

    def _hessian_product(self, z: Array, y: Array, dz: Array) -> Array:
        p = self.probabilities(z)
        # counted from that of the maximum, beside which differences of the others would be lost
        dz = dz - dz[np.arange(len(z)), z.argmax(axis=1), np.newaxis]
        return p * (dz - (p * dz).sum(axis=1, keepdims=True))

    def _factor(self, z: Array, y: Array) -> Array:
        p = self.probabilities(z)
        root = np.sqrt(p)
        S = -p[:, :, None] * root[:, None, :]
        S[:, np.arange(z.shape[1]), np.arange(z.shape[1])] += root
        return S


class MulticlassHingeLoss(KnownLoss):
    """Multiclass hinge loss: xi = max(0, 1 - z_y).

    z_y is taken as the margin of class y [1]_; see `StructuredHingeLoss` for margins between outputs.
    The derivative at z_y = 1 is taken to be 0. B = 0: xi is linear between its kinks.

    References
    ----------
    .. [1] A. Vedaldi, K. Lenc, "MatConvNet: convolutional neural networks for MATLAB" (2015),
       vl_nnloss, "mhinge".

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import MulticlassHingeLoss
    >>> MulticlassHingeLoss().value_and_gradient(np.array([[2.0, 0.25]]), np.array([1]))
    (0.75, array([[ 0., -1.]]))
    """

    name: ClassVar[str] = "multiclass_hinge"

    def targets(self, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
        return targets.only_labels(self.title, Y, l, n_outputs)

    def _value_and_gradient(self, z: Array, y: Array) -> tuple[float, Array]:
        rows = np.arange(len(y))
        xi, slope = _hinge(z[rows, y])
        dz = np.zeros_like(z)
        dz[rows, y] = slope
        return total(xi), dz


class StructuredHingeLoss(KnownLoss):
    """Structured hinge loss: xi = max(0, 1 - (z_y - max_{q != y} z_q)) [1]_.

    Of equal largest outputs q the first has the derivative; at a margin of 1 the derivative is taken
    to be 0. B = 0: xi is linear between its kinks.

    References
    ----------
    .. [1] K. Crammer, Y. Singer, "On the algorithmic implementation of multiclass kernel-based
       vector machines", Journal of Machine Learning Research 2 (2001). MatConvNet: "mshinge".

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import StructuredHingeLoss
    >>> StructuredHingeLoss().value_and_gradient(np.array([[2.0, 0.25, 1.0]]), np.array([1]))
    (2.75, array([[ 1., -1.,  0.]]))
    """

    name: ClassVar[str] = "structured_hinge"

    def targets(self, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
        return targets.only_labels(self.title, Y, l, n_outputs)

    def _value_and_gradient(self, z: Array, y: Array) -> tuple[float, Array]:
        rows = np.arange(len(y))
        others = z.copy()
        others[rows, y] = -np.inf
        q = others.argmax(axis=1)
        # all others are -inf
        q = np.where(q == y, np.where(y == 0, 1, 0), q)
        with np.errstate(invalid="ignore"):
            xi, slope = _hinge(z[rows, y] - z[rows, q])
        dz = np.zeros_like(z)
        dz[rows, y] = slope
        dz[rows, q] = -slope
        return total(xi), dz


def _hinge(margins: Array) -> tuple[Array, Array]:
    """Return max(0, 1 - margin) and its derivative; NaN for NaN."""
    xi = 1 - margins
    met = xi <= 0
    slope = np.where(np.isnan(xi), xi, -1)
    zero = margins.dtype.type(0)
    return np.where(met, zero, xi), np.where(met, zero, slope)
