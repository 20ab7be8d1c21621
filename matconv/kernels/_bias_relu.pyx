"""Bias and ReLU in one pass, and the adjoint in one pass: equations (1) to (3)."""

from libc.string cimport memset

cimport numpy as cnp

from ._activation cimport Activation, relu_if
from ._arrays cimport as_input, as_output, check_shape
from ._types cimport real

cnp.import_array()


cdef void apply_activation(
    const Activation *activation, Py_ssize_t n, const real *S, real *Z
) noexcept nogil:
    bias_activation_rows(1, n, S, <const real *> NULL, activation, Z)


cdef void apply_activation_backward(
    const Activation *activation, Py_ssize_t n, const real *dZ, const real *Z, real *dS
) noexcept nogil:
    activation_backward_rows(1, n, dZ, Z, activation, dS, <real *> NULL)


def bias_relu(S, b, out=None):
    """Compute sigma(S + b 1'), bias and ReLU in one pass: equations (1) to (3).

    Parameters
    ----------
    S : array, shape (..., d)
        Channels last; float64 or float32.
    b : array, shape (d,)
    out : array, shape of S, optional
        C-contiguous, of S's dtype. May be S; must not overlap it otherwise.

    Returns
    -------
    Z : ndarray, shape of S
        ``max(S + b, 0)``; NaN is propagated.

    Raises
    ------
    TypeError, ValueError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> matconv.bias_relu(np.array([[1.0, -2.0], [3.0, 5.0]]), np.array([-2.0, 1.0]))
    array([[0., 0.],
           [1., 6.]])
    """
    cdef cnp.ndarray values = as_input("bias_relu", "S", S, -1)
    cdef cnp.ndarray bias = as_input("bias_relu", "b", b, 1, values)
    cdef Py_ssize_t d = channels("bias_relu", "S", values)
    check_shape("bias_relu", "b", bias, (d,))
    cdef cnp.ndarray result = as_output(
        "bias_relu", "out", out, (<object> values).shape, values,
        (("b", b),) if out is S else (("S", S), ("b", b)),
    )
    cdef Py_ssize_t n = cnp.PyArray_SIZE(values) // d
    cdef bint is_double = cnp.PyArray_TYPE(values) == cnp.NPY_DOUBLE
    cdef void *source = cnp.PyArray_DATA(values)
    cdef void *offset = cnp.PyArray_DATA(bias)
    cdef void *target = cnp.PyArray_DATA(result)
    cdef Activation relu = relu_if(True)
    with nogil:
        if is_double:
            bias_activation_rows(
                n, d, <const double *> source, <const double *> offset, &relu, <double *> target
            )
        else:
            bias_activation_rows(
                n, d, <const float *> source, <const float *> offset, &relu, <float *> target
            )
    return result


def bias_relu_backward(dZ, Z, out=None):
    """Compute the gradients for S and b from the gradient for Z = sigma(S + b 1'), in one pass.

    Parameters
    ----------
    dZ : array, shape (..., d)
        Gradient for Z; float64 or float32.
    Z : array, shape of dZ
        As returned by `bias_relu`.
    out : array, shape of dZ, optional
        Array for dS; C-contiguous, of dZ's dtype. May be dZ.

    Returns
    -------
    dS : ndarray, shape of dZ
        0 where Z <= 0, else dZ: sigma'(0) is 0, as in the notes, and sigma' is 1 where Z is NaN.
    db : ndarray, shape (d,)
        The sum of dS over all axes except the channels.

    Raises
    ------
    TypeError, ValueError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> dS, db = matconv.bias_relu_backward(np.ones((2, 2)), np.array([[0.0, 2.0], [3.0, 4.0]]))
    >>> dS, db
    (array([[0., 1.],
           [1., 1.]]), array([1., 2.]))
    """
    cdef cnp.ndarray gradient = as_input("bias_relu_backward", "dZ", dZ, -1)
    cdef cnp.ndarray values = as_input("bias_relu_backward", "Z", Z, -1, gradient)
    cdef Py_ssize_t d = channels("bias_relu_backward", "dZ", gradient)
    check_shape("bias_relu_backward", "Z", values, (<object> gradient).shape)
    cdef cnp.ndarray dS = as_output(
        "bias_relu_backward", "out", out, (<object> gradient).shape, gradient,
        (("Z", Z),) if out is dZ else (("dZ", dZ), ("Z", Z)),
    )
    cdef cnp.ndarray db = as_output("bias_relu_backward", "db", None, (d,), gradient, ())
    cdef Py_ssize_t n = cnp.PyArray_SIZE(gradient) // d
    cdef bint is_double = cnp.PyArray_TYPE(gradient) == cnp.NPY_DOUBLE
    cdef void *source = cnp.PyArray_DATA(gradient)
    cdef void *mask = cnp.PyArray_DATA(values)
    cdef void *target = cnp.PyArray_DATA(dS)
    cdef void *total = cnp.PyArray_DATA(db)
    cdef Activation relu = relu_if(True)
    cdef size_t total_size = cnp.PyArray_NBYTES(db)
    with nogil:
        memset(total, 0, total_size)
        if is_double:
            activation_backward_rows(
                n, d, <const double *> source, <const double *> mask, &relu,
                <double *> target, <double *> total,
            )
        else:
            activation_backward_rows(
                n, d, <const float *> source, <const float *> mask, &relu,
                <float *> target, <float *> total,
            )
    return dS, db


cdef Py_ssize_t channels(str function, str name, cnp.ndarray array) except -1:
    cdef int ndim = cnp.PyArray_NDIM(array)
    if ndim == 0:
        raise ValueError(f"{function}: {name} must have at least 1 dimension, got a scalar")
    if cnp.PyArray_DIM(array, ndim - 1) == 0:
        raise ValueError(f"{function}: {name} must have at least 1 channel, got 0")
    return cnp.PyArray_DIM(array, ndim - 1)
