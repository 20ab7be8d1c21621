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

    A sample is an image, or a position of the output (height, width, channels) of a network for
    images whose Y has the shape (l, height, width) or (l, height, width, channels). The latter only
    if the loss has an attribute ``positions`` that is True: then `targets` gets the samples of all
    images in a row, with the number of channels as ``n_outputs``, and the other methods a row of z
    for each position.

    These methods are optional. y, and z and dz of shape (samples, n_outputs), are as for `value`.

    labelled(y)
        Which samples are labelled, a bool for each. The others must contribute neither to the value
        nor to the gradient; objectives divide by the weights of the labelled samples. Without it,
        all are labelled.
    hessian_product(z, y, dz)
        B dz for each sample, where B is the Hessian of xi with respect to z; shape of z.
    factor(z, y)
        Matrices S with B = S S', shape (samples, n_outputs, k). B must be positive semidefinite.

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
            Number of samples, which usually are images, and of outputs of the network for each.
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
