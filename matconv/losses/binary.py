"""Losses of attributes that are present or not: logistic, hinge, squared hinge.

Each output decides about one attribute. y_j is 1 if attribute j is present, 0 if not, and -1 if it is
not labelled: then it contributes nothing. With one output Y may have a label for each image; with
several outputs a label c stands for the one-hot vector y with y_c = 1, one class against all others.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from . import targets
from .base import ElementLoss
from .protocol import Array


class AttributeLoss(ElementLoss):
    """A loss whose targets are attributes."""

    attributes: ClassVar[bool] = True
    # whether an attribute may be a probability
    probable: ClassVar[bool] = False

    def targets(self, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
        return targets.attributes(self.title, Y, l, n_outputs, dtype, self.probable)


class LogisticLoss(AttributeLoss):
    """Binary cross-entropy of sigmoid(z): xi = sum_j log(1 + exp(-c_j z_j)), c_j = 2 y_j - 1.

    y_j is 0, 1, -1 for an attribute that is not labelled, or the probability that the attribute is
    present; then xi is the mean of both cases. With p = sigmoid(z), B = diag(p_j (1 - p_j)).

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import LogisticLoss
    >>> value, gradient = LogisticLoss().value_and_gradient(np.zeros((1, 2)), np.array([[1.0, 0.0]]))
    >>> round(value, 6), gradient
    (1.386294, array([[-0.5,  0.5]]))
    """

    name: ClassVar[str] = "logistic"
    probable: ClassVar[bool] = True

    @staticmethod
    def probabilities(z: Array) -> Array:
        """Return sigmoid(z), element by element.

        Parameters
        ----------
        z : ndarray, shape (images, n_outputs)

        Returns
        -------
        ndarray, shape of z
        """
        with np.errstate(all="ignore"):
            t = np.exp(-np.abs(z))
            return np.where(z > 0, 1, t) / (1 + t)

    def _elements(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        one = z.dtype.type(1)
        t = np.exp(-np.abs(z))
        p, q = np.where(z > 0, one, t) / (1 + t), np.where(z > 0, t, one) / (1 + t)
        # softplus(z) and softplus(-z), without 0 times infinity
        up = np.where((y == 1) | (z < 0), 0 * one, (1 - y) * z)
        down = np.where((y == 0) | (z > 0), 0 * one, -y * z)
        return np.log1p(t) + up + down, (1 - y) * p - y * q, p * q


class HingeLoss(AttributeLoss):
    """Hinge loss: xi = sum_j max(0, 1 - c_j z_j), c_j = 2 y_j - 1.

    The derivative at c_j z_j = 1 is taken to be 0. B = 0: xi is linear between its kinks.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import HingeLoss
    >>> HingeLoss().value_and_gradient(np.array([[0.5, -3.0]]), np.array([[1.0, 0.0]]))
    (0.5, array([[-1.,  0.]]))
    """

    name: ClassVar[str] = "hinge"

    def _elements(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        c = 2 * y - 1
        margin = 1 - c * z
        met = margin <= 0
        first = np.where(np.isnan(margin), margin, -c)
        zero = z.dtype.type(0)
        return np.where(met, zero, margin), np.where(met, zero, first), np.zeros_like(z)

    def _factor(self, z: Array, y: Array) -> Array:
        return np.zeros((*z.shape, 0), z.dtype)


class SquaredHingeLoss(AttributeLoss):
    """Squared hinge loss: xi = sum_j max(0, 1 - c_j z_j)^2, c_j = 2 y_j - 1.

    B = diag(2 if c_j z_j < 1, otherwise 0).

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.losses import SquaredHingeLoss
    >>> SquaredHingeLoss().value_and_gradient(np.array([[0.5, -3.0]]), np.array([[1.0, 0.0]]))
    (0.25, array([[-1.,  0.]]))
    """

    name: ClassVar[str] = "squared_hinge"

    def _elements(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        c = 2 * y - 1
        margin = 1 - c * z
        met = margin <= 0
        xi, first = margin * margin, -2 * c * margin
        zero, two = z.dtype.type(0), z.dtype.type(2)
        return np.where(met, zero, xi), np.where(met, zero, first), np.where(met, zero, two)
