"""Loss: the methods of a loss."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

Array = NDArray[Any]


@runtime_checkable
class Loss(Protocol):
    """Protocol of losses.

    An `Objective` calls `targets` once. It calls one of the other two methods for each shard, on
    several threads at the same time. The arrays z and y are read-only, and z is valid only during
    the call; a method that works in place must copy them.

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
        """Check Y and return the array whose slices are passed to the other methods.

        Parameters
        ----------
        Y : object
            The argument of `Objective`; not a masked array.
        l, n_outputs : int
            Number of images, and of outputs of the network for each.
        dtype : numpy dtype
            The dtype of the network.

        Returns
        -------
        y : array_like, shape (l, ...)
            One element or row per image, of any dtype.
        """

    def value(self, z: Array, y: Array) -> Any:
        """Return the sum of xi over the rows of z.

        Parameters
        ----------
        z : ndarray, shape (images, n_outputs)
            Outputs of the network, in its dtype; read-only.
        y : ndarray, shape (images, ...)
            The part of the result of `targets` that belongs to these images; read-only.

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
            The same as for `value`.

        Returns
        -------
        value : real number
            As `value` returns it.
        gradient : array_like, shape of z
            Real, of any dtype and memory layout. It is converted to the network's dtype; the
            array itself is not changed.
        """
