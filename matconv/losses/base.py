"""KnownLoss: what the losses that are included have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .protocol import Array


def total(x: Array) -> float:
    """Return the sum of all elements, in double precision."""
    return float(x.sum(dtype=np.float64))


def one_hot(y: Array, n: int, dtype: Any) -> Array:
    """Return the rows y_c = 1 of labels c."""
    rows = np.zeros((len(y), n), dtype)
    rows[np.arange(len(y)), y] = 1
    return rows


class KnownLoss:
    """Base class of the losses that are included.

    A subclass defines `_value_and_gradient`, `_hessian_product` and `_factor` for samples that are
    all labelled. Losses of equal class and parameters are equal; objects of a user's subclasses,
    which may have other attributes, compare by identity.
    """

    name: ClassVar[str]
    # samples may be positions of the output, see `Loss`
    positions: ClassVar[bool] = True
    # True in the classes of LOSSES themselves, which compiled code evaluates
    known: ClassVar[bool]

    @property
    def parameter(self) -> float:
        """The parameter of the loss for compiled code; 0 if it has none."""
        return 0.0

    @property
    def title(self) -> str:
        """Beginning of messages."""
        return f"{self.name.replace('_', ' ')} loss"

    def __eq__(self, other: object) -> bool:
        if not self._is_known() or type(other) is not type(self):
            return NotImplemented
        return self.parameter == other.parameter  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), self.parameter)) if self._is_known() else object.__hash__(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _is_known(self) -> bool:
        return "known" in vars(type(self))

    def labelled(self, y: Array) -> Array:
        """Return which samples are labelled, a bool for each."""
        return np.asarray(y >= 0) if y.ndim == 1 else np.ones(len(y), bool)

    def value(self, z: Array, y: Array) -> float:
        """Return the sum of xi over the rows of z."""
        return self.value_and_gradient(z, y)[0]

    def value_and_gradient(self, z: Array, y: Array) -> tuple[float, Array]:
        """Return the sum of xi over the rows of z, and its gradient with respect to z."""
        kept = self.labelled(y)
        if kept.all():
            return self._value_and_gradient(z, y)
        value, part = self._value_and_gradient(z[kept], y[kept])
        return value, _spread(part, kept)

    def hessian_product(self, z: Array, y: Array, dz: Array) -> Array:
        """Return B dz for each row of z, where B is the Hessian of xi with respect to z."""
        kept = self.labelled(y)
        return _spread(self._hessian_product(z[kept], y[kept], dz[kept]), kept)

    def factor(self, z: Array, y: Array) -> Array:
        """Return S with B = S S' for each row of z, shape (samples, n, k); k = 0 if B = 0."""
        kept = self.labelled(y)
        return _spread(self._factor(z[kept], y[kept]), kept)

    def _value_and_gradient(self, z: Array, y: Array) -> tuple[float, Array]:
        raise NotImplementedError

    def _hessian_product(self, z: Array, y: Array, dz: Array) -> Array:
        return np.zeros_like(dz)

    def _factor(self, z: Array, y: Array) -> Array:
        return np.zeros((*z.shape, 0), z.dtype)


def _spread(part: Array, kept: Array) -> Array:
    """Return an array with the rows of ``part`` where ``kept`` is True, and zeros elsewhere."""
    if kept.all():
        return part
    whole = np.zeros((len(kept), *part.shape[1:]), part.dtype)
    whole[kept] = part
    return whole


class ElementLoss(KnownLoss):
    """A loss that is a sum over elements: xi = sum_j e(z_j; y_j), B = diag(e''(z_j; y_j)).

    A label c stands for the one-hot vector y with y_c = 1. A subclass defines `_elements`.
    """

    # whether y are attributes, where -1 is not labelled
    attributes: ClassVar[bool] = False

    def labelled(self, y: Array) -> Array:
        if self.attributes and y.ndim == 2:
            return np.asarray((y >= 0).any(axis=1))
        return super().labelled(y)

    def _elements(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return e and its first and second derivatives, in the dtype of z."""
        raise NotImplementedError

    def _all(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        rows = one_hot(y, z.shape[1], z.dtype) if y.ndim == 1 else y
        with np.errstate(all="ignore"):
            found = self._elements(z, rows)
        if self.attributes:
            left_out = rows < 0
            if left_out.any():
                found = tuple(np.where(left_out, z.dtype.type(0), x) for x in found)  # type: ignore[assignment]
        return found

    def _value_and_gradient(self, z: Array, y: Array) -> tuple[float, Array]:
        xi, first, _ = self._all(z, y)
        return total(xi), first

    def _hessian_product(self, z: Array, y: Array, dz: Array) -> Array:
        return self._all(z, y)[2] * dz

    def _factor(self, z: Array, y: Array) -> Array:
        S = np.zeros((*z.shape, z.shape[1]), z.dtype)
        S[:, np.arange(z.shape[1]), np.arange(z.shape[1])] = np.sqrt(self._all(z, y)[2])
        return S
