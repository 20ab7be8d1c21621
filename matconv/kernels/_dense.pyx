"""Dense layers, W vec(Z) + b: 1x1 convolutions of images of one pixel."""

cimport numpy as cnp

from ._arrays cimport as_input, as_output, check_shape
from ._conv import ConvPlan, backward, forward
from ._geometry import WindowGeometry

cnp.import_array()


cdef tuple flatten(str function, object Z, object W):
    # return the plan, Z (l, ...) as (l, 1, 1, m), W (m, units) as (m, 1, 1, units), the shape of Z
    cdef cnp.ndarray images = as_input(function, "Z", Z, -1)
    cdef cnp.ndarray weights = as_input(function, "W", W, 2, images)
    if cnp.PyArray_NDIM(images) < 2:
        raise ValueError(
            f"{function}: Z must have at least 2 dimensions, got shape {(<object> images).shape}"
        )
    l = (<object> images).shape[0]
    m = 1
    for size in (<object> images).shape[1:]:
        m *= size
    units = (<object> weights).shape[1]
    if (<object> weights).shape[0] != m:
        raise ValueError(
            f"{function}: W has {(<object> weights).shape[0]} rows where an image of Z has "
            f"{m} elements"
        )
    geometry = WindowGeometry(function, (l, 1, 1, m), 1, channels=units)
    return (
        ConvPlan(geometry, (<object> images).dtype, "im2col"),
        (<object> images).reshape(l, 1, 1, m),
        (<object> weights).reshape(m, 1, 1, units),
        (<object> images).shape,
    )


def dense(Z, W, b=None, relu=False, out=None):
    """Compute W vec(Z^i) + b for each image, and its ReLU with ``relu``.

    Parameters
    ----------
    Z : array, shape (l, ...)
        ``Z[i].ravel()`` is vec(Z^i), with m elements; float64 or float32.
    W : array, shape (m, units)
        In the order of theta; ``W.T`` is W in the formula.
    b : array, shape (units,), optional
    relu : bool
    out : array, shape (l, units), optional
        C-contiguous, of Z's dtype, not overlapping the inputs.

    Returns
    -------
    S : ndarray, shape (l, units)

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> matconv.dense(np.ones((1, 2, 2, 1)), np.arange(8.0).reshape(4, 2), np.array([1.0, -20.0]))
    array([[13., -4.]])
    """
    plan, images, weights, _ = flatten("dense", Z, W)
    l, units = images.shape[0], weights.shape[3]
    result = as_output("dense", "out", out, (l, units), images, (("Z", Z), ("W", W), ("b", b)))
    forward(plan, images, weights, b, relu, result.reshape(l, 1, 1, units))
    return result


def dense_backward(dS, Z, W, need_dZ=True, need_dW=True, need_db=True):
    """Compute the gradients for Z, W and b from the gradient for S = W vec(Z) + b.

    Parameters
    ----------
    dS : array, shape (l, units)
    Z, W
        As for `dense`.
    need_dZ, need_dW, need_db : bool
        Which gradients are computed.

    Returns
    -------
    dZ : ndarray, shape of Z, or None
    dW : ndarray, shape of W, or None
    db : ndarray, shape (units,), or None

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z, W = np.array([[3.0]]), np.array([[1.0, 2.0]])
    >>> matconv.dense_backward(np.ones((1, 2)), Z, W)
    (array([[3.]]), array([[3., 3.]]), array([1., 1.]))
    """
    plan, images, weights, shape = flatten("dense_backward", Z, W)
    l, units = images.shape[0], weights.shape[3]
    gradient = as_input("dense_backward", "dS", dS, 2, images)
    check_shape("dense_backward", "dS", gradient, (l, units))
    dZ, dW, db = backward(
        plan, (<object> gradient).reshape(l, 1, 1, units), images, weights,
        need_dZ, need_dW, need_db,
    )
    if dZ is not None:
        dZ = dZ.reshape(shape)
    if dW is not None:
        dW = dW.reshape(weights.shape[0], units)
    return dZ, dW, db
