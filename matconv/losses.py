"""Losses: xi(z^{L+1,i}; y^i), summed over a shard, and its gradient with respect to the outputs.

A loss is an object with the three methods of `Loss`. `Objective` takes an object, or the name of
one of the losses here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .kernels._arrays import refuse_masked

Array = NDArray[Any]


@runtime_checkable
class Loss(Protocol):
    """Protocol of losses.

    An `Objective` calls `targets` once, the other two methods once for each shard, on several
    threads at the same time. The arrays z and y are read-only, and z is only valid during the
    call: a method that works in place must copy them.

    Pickling an `Objective` pickles its loss.

    Examples
    --------
    The sum of absolute differences, whose gradient is the sign of each:

    >>> import numpy as np
    >>> from matconv import Dense, Network, Objective
    >>> class AbsoluteLoss:
    ...     def targets(self, Y, l, n_outputs, dtype):
    ...         return np.asarray(Y, dtype).reshape(l, n_outputs)
    ...     def value(self, z, y):
    ...         return np.abs(z - y).sum(dtype=np.float64)
    ...     def value_and_gradient(self, z, y):
    ...         return self.value(z, y), np.sign(z - y)
    >>> net = Network((1, 1, 2), [Dense(1)])
    >>> Objective(net, np.ones((3, 1, 1, 2)), [[1.0], [2.0], [6.0]], AbsoluteLoss())(np.zeros(3))
    3.0
    """

    def targets(self, Y: Any, l: int, n_outputs: int, dtype: Any) -> Any:
        """Check Y; return the array of which the other methods get slices.

        Parameters
        ----------
        Y : object
            As given to `Objective`; not a masked array.
        l, n_outputs : int
            Numbers of images and of outputs of the network.
        dtype : numpy dtype
            Of the network.

        Returns
        -------
        y : array_like, shape (l, ...)
            An element or a row for each image, of any dtype.
        """

    def value(self, z: Array, y: Array) -> Any:
        """Return the sum of xi over the rows of z.

        Parameters
        ----------
        z : ndarray, shape (images, n_outputs)
            In the network's dtype; read-only.
        y : ndarray, shape (images, ...)
            Of these images; read-only.

        Returns
        -------
        value : real number
            A Python or NumPy number, or an array of one element. Objectives add the values in
            double precision.
        """

    def value_and_gradient(self, z: Array, y: Array) -> tuple[Any, Any]:
        """Return the sum of xi over the rows of z, and its gradient with respect to z.

        Parameters
        ----------
        z, y
            As for `value`.

        Returns
        -------
        value : real number
            As `value` returns it.
        gradient : array_like, shape of z
            Of real numbers, of any layout and dtype. It is converted to the network's dtype and
            not changed.
        """


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
    """Return Y as labels (an integer for each image) or rows (a number for each output)."""
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


class SoftmaxLoss(_EqualByClass):
    """Cross-entropy of softmax(z): xi = log sum_j exp(z_j) - z_y.

    ``Y`` may also hold rows of probabilities p: xi = log sum_j exp(z_j) - sum_j p_j z_j. The
    largest output is subtracted first, so that exp does not overflow.

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
            # each of the n_outputs elements of a row is rounded, and so is each addition
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
            Each row sums to 1, but for rounding; NaN where an output is not finite.
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


LOSSES: dict[str, type] = {"squared": SquaredLoss, "softmax": SoftmaxLoss}


def get_loss(loss: str | Loss) -> Loss:
    """Return the loss of a name, or the loss itself.

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
    if isinstance(loss, type) or not isinstance(loss, Loss):
        raise TypeError(
            "loss must be a name or an object with targets, value and value_and_gradient, "
            f"got {loss!r} ({type(loss).__name__})"
        )
    return loss


def usual_loss(n_outputs: int) -> str:
    """Return the name of the loss of a network that nothing else is known of.

    >>> usual_loss(10), usual_loss(1)
    ('softmax', 'squared')
    """
    return "softmax" if n_outputs > 1 else "squared"


def compiled_name(loss: Loss) -> str:
    """Return the name of a loss that is compiled; "" for one that is written in Python."""
    for name, known in LOSSES.items():
        if type(loss) is known:
            return name
    return ""


# Checked calls of the methods of a loss


def read_only(array: Array) -> Array:
    """Return a read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view


def loss_targets(loss: Loss, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
    """Return ``loss.targets(Y, l, n_outputs, dtype)`` as a read-only array of l elements or rows.

    Raises
    ------
    TypeError, ValueError
        Exceptions of the loss are propagated.
    """
    name = type(loss).__name__
    refuse_masked(name, "Y", Y)
    y = loss.targets(Y, l, n_outputs, dtype)
    refuse_masked(f"{name}.targets", "the result", y)
    array = _converted(f"{name}.targets: the result", y)
    if array.shape[:1] != (l,):
        raise ValueError(
            f"{name}.targets: the result must have an entry or a row per image, {l}, "
            f"got shape {array.shape}"
        )
    return read_only(array)


def loss_value(loss: Loss, z: Array, y: Array) -> float:
    """Return ``loss.value(z, y)`` as a float.

    Raises
    ------
    TypeError
        If it is not a real number. Exceptions of the loss are propagated.
    """
    name = f"{type(loss).__name__}.value"
    with _explaining(name):
        value = loss.value(read_only(z), y)
    return _number(name, value)


def loss_gradient(loss: Loss, z: Array, y: Array, l: int) -> tuple[float, Array]:
    """Return ``loss.value_and_gradient(z, y)``: a float, and the gradient divided by l.

    Returns
    -------
    value : float
    gradient : ndarray, shape and dtype of z
        A new C-contiguous array.

    Raises
    ------
    TypeError, ValueError
        If the value is not a real number, or the gradient does not have real numbers or the shape
        of z. Exceptions of the loss are propagated.
    """
    name = f"{type(loss).__name__}.value_and_gradient"
    with _explaining(name):
        result = loss.value_and_gradient(read_only(z), y)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(f"{name} must return (value, gradient), got {type(result).__name__}")
    value = _number(name, result[0])
    refuse_masked(name, "the gradient", result[1])
    gradient = _converted(f"{name}: the gradient", result[1])
    if gradient.dtype.kind not in "fiu":
        raise TypeError(f"{name}: the gradient must be of real numbers, got {gradient.dtype}")
    if gradient.shape != z.shape:
        raise ValueError(
            f"{name}: the gradient must have the shape of z, {z.shape}, got {gradient.shape}"
        )
    return value, np.divide(gradient, l, out=np.empty(z.shape, z.dtype), dtype=z.dtype)


@contextmanager
def _explaining(name: str) -> Iterator[None]:
    """Add a note to NumPy's error about a write into z or y."""
    try:
        yield
    except ValueError as error:
        if "read-only" in str(error):
            error.add_note(f"{name}: z and y are read-only; copy what is changed in place")
        raise


def _converted(name: str, value: Any) -> Array:
    """Return value as an ndarray."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{name} is not an array: {error}") from None


def _number(name: str, value: Any) -> float:
    """Return a real number, or an array of one element, as a float."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    if hasattr(value, "__array__") and not isinstance(value, np.ma.MaskedArray):
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "fiu":
            return float(array.reshape(()))
        raise TypeError(
            f"{name}: the value must be a real number, got an array of {array.dtype} of shape "
            f"{array.shape}"
        )
    raise TypeError(
        f"{name}: the value must be a real number, got {value!r} ({type(value).__name__})"
    )
