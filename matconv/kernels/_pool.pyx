"""Pooling: the maximum or the mean of each window, and the adjoints."""

from libc.string cimport memset

import numpy as np

cimport numpy as cnp

from ._arrays cimport as_input, as_output, check_shape
from ._geometry cimport Geometry, WindowGeometry
from ._pool_loops cimport avg_pool, avg_pool_backward, max_pool, max_pool_backward

from ._geometry import check_pool_padding, window_sizes
from ._sizes import as_pair, as_pool_window, ceil_padding, counted_padding

cnp.import_array()

cdef extern from "limits.h":
    const int INT_MAX


def pool_geometry(str function, shape, window, stride=None, pad=0, ceil=False):
    """Return the geometry of pooling windows, each of which must contain a pixel of the image."""
    window, stride = as_pool_window(function, shape, window, stride, pad)
    cdef WindowGeometry geometry
    if ceil:
        # checks the arguments, of which the window may be larger than the image
        _, _, sides, *_ = window_sizes(function, window, stride, pad, kernel_name="window")
        check_pool_padding(function, as_pair(function, "window", window), sides)
        geometry = WindowGeometry(function, shape, 1)
        pad = ceil_padding(function, geometry.shape, window, stride, pad)
    geometry = WindowGeometry(function, shape, window, stride, pad, kernel_name="window")
    cdef const Geometry *g = &geometry.c
    check_pool_padding(function, geometry.kernel, geometry.pad)
    if g.b > INT_MAX // g.a:
        raise OverflowError(f"{function}: an image of {g.b} x {g.a} has too many pixels")
    return geometry


def max_pool_forward(WindowGeometry geometry, Z, bint return_indices=False, out=None, indices=None):
    """Compute `max_pool2d` for a geometry; the number of images is that of Z.

    Returns
    -------
    out : ndarray
    indices : ndarray or None
    """
    cdef str function = geometry.function
    cdef cnp.ndarray images = as_input(function, "Z", Z, 4)
    cdef cnp.ndarray where = None
    cdef Geometry g
    geometry.for_images(cnp.PyArray_DIM(images, 0), &g)
    check_shape(function, "Z", images, (g.l, g.b, g.a, g.d))
    cdef tuple shape = (g.l, g.b_out, g.a_out, g.d)
    cdef cnp.ndarray result = as_output(function, "out", out, shape, images, (("Z", Z),))
    if return_indices:
        where = as_output(
            function, "indices", indices, shape, np.empty(0, np.intc), (("Z", Z), ("out", result))
        )
    cdef bint is_double = cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE
    cdef void *Z_ = cnp.PyArray_DATA(images)
    cdef void *out_ = cnp.PyArray_DATA(result)
    cdef Py_ssize_t rows = g.l * g.b_out
    cdef int *where_ = NULL
    if where is not None:
        where_ = <int *> cnp.PyArray_DATA(where)
    with nogil:
        if is_double:
            max_pool(&g, <const double *> Z_, <double *> out_, where_, 0, rows)
        else:
            max_pool(&g, <const float *> Z_, <float *> out_, where_, 0, rows)
    return result, where


cdef void scatter(
    const Geometry *g, cnp.ndarray gradient, cnp.ndarray indices, cnp.ndarray dZ
) noexcept:
    # dZ = the adjoint of max_pool; all arrays are checked already
    cdef bint is_double = cnp.PyArray_TYPE(gradient) == cnp.NPY_DOUBLE
    cdef void *dOut_ = cnp.PyArray_DATA(gradient)
    cdef void *dZ_ = cnp.PyArray_DATA(dZ)
    cdef const int *where_ = <const int *> cnp.PyArray_DATA(indices)
    cdef size_t size = cnp.PyArray_NBYTES(dZ)
    cdef Py_ssize_t rows = g.l * g.b_out
    with nogil:
        memset(dZ_, 0, size)
        if is_double:
            max_pool_backward(g, <const double *> dOut_, where_, <double *> dZ_, 0, rows)
        else:
            max_pool_backward(g, <const float *> dOut_, where_, <float *> dZ_, 0, rows)


def max_pool_adjoint(WindowGeometry geometry, dZ_out, cnp.ndarray indices, out=None):
    """Compute `max_pool2d_backward` for a geometry; the number of images is that of dZ_out.

    The indices must be those that `max_pool_forward` returned for this geometry: their values are
    not checked.
    """
    cdef str function = geometry.function
    cdef cnp.ndarray gradient = as_input(function, "dZ_out", dZ_out, 4)
    cdef Geometry g
    geometry.for_images(cnp.PyArray_DIM(gradient, 0), &g)
    cdef tuple shape = (g.l, g.b_out, g.a_out, g.d)
    check_shape(function, "dZ_out", gradient, shape)
    check_shape(function, "indices", indices, shape)
    if cnp.PyArray_TYPE(indices) != cnp.NPY_INT or not cnp.PyArray_ISCARRAY_RO(indices):
        raise TypeError(f"{function}: indices must be contiguous int32, got {indices.dtype}")
    cdef cnp.ndarray dZ = as_output(
        function, "out", out, (g.l, g.b, g.a, g.d), gradient, (("dZ_out", dZ_out),)
    )
    scatter(&g, gradient, indices, dZ)
    return dZ


cdef const Py_ssize_t *read_counted(object counted, Py_ssize_t *sizes) except? NULL:
    # return `sizes`, with the (bottom, right) padding that counts; NULL for None
    if counted is None:
        return NULL
    sizes[0], sizes[1] = counted
    return sizes


def avg_pool_forward(WindowGeometry geometry, Z, out=None, counted=None):
    """Compute `avg_pool2d` for a geometry; the number of images is that of Z.

    ``counted`` is what `counted_padding` returns; the geometry has at least this padding.
    """
    cdef str function = geometry.function
    cdef cnp.ndarray images = as_input(function, "Z", Z, 4)
    cdef Geometry g
    geometry.for_images(cnp.PyArray_DIM(images, 0), &g)
    check_shape(function, "Z", images, (g.l, g.b, g.a, g.d))
    cdef cnp.ndarray result = as_output(
        function, "out", out, (g.l, g.b_out, g.a_out, g.d), images, (("Z", Z),)
    )
    cdef bint is_double = cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE
    cdef void *Z_ = cnp.PyArray_DATA(images)
    cdef void *out_ = cnp.PyArray_DATA(result)
    cdef Py_ssize_t rows = g.l * g.b_out
    cdef Py_ssize_t[2] sizes
    cdef const Py_ssize_t *extent = read_counted(counted, sizes)
    with nogil:
        if is_double:
            avg_pool(&g, extent, <const double *> Z_, <double *> out_, 0, rows)
        else:
            avg_pool(&g, extent, <const float *> Z_, <float *> out_, 0, rows)
    return result


def avg_pool_adjoint(WindowGeometry geometry, dZ_out, out=None, counted=None):
    """Compute `avg_pool2d_backward` for a geometry; the number of images is that of dZ_out."""
    cdef str function = geometry.function
    cdef cnp.ndarray gradient = as_input(function, "dZ_out", dZ_out, 4)
    cdef Geometry g
    geometry.for_images(cnp.PyArray_DIM(gradient, 0), &g)
    check_shape(function, "dZ_out", gradient, (g.l, g.b_out, g.a_out, g.d))
    cdef cnp.ndarray dZ = as_output(
        function, "out", out, (g.l, g.b, g.a, g.d), gradient, (("dZ_out", dZ_out),)
    )
    cdef bint is_double = cnp.PyArray_TYPE(gradient) == cnp.NPY_DOUBLE
    cdef void *dOut_ = cnp.PyArray_DATA(gradient)
    cdef void *dZ_ = cnp.PyArray_DATA(dZ)
    cdef size_t size = cnp.PyArray_NBYTES(dZ)
    cdef Py_ssize_t rows = g.l * g.b_out
    cdef Py_ssize_t[2] sizes
    cdef const Py_ssize_t *extent = read_counted(counted, sizes)
    with nogil:
        memset(dZ_, 0, size)
        if is_double:
            avg_pool_backward(&g, extent, <const double *> dOut_, <double *> dZ_, 0, rows)
        else:
            avg_pool_backward(&g, extent, <const float *> dOut_, <float *> dZ_, 0, rows)
    return dZ


def max_pool2d(Z, window, stride=None, pad=0, return_indices=False, out=None, ceil=False):
    """Compute the maximum of each window, channel by channel.

    Parameters
    ----------
    Z : array, shape (l, b, a, d)
        Images: count, height, width, channels; float64 or float32.
    window : int, (height, width) or "image"
        "image": one window of all pixels, without stride and pad.
    stride : int or (height, width), optional
        By default the window.
    pad : int, (height, width) or ((top, bottom), (left, right))
        Smaller than the window. Padding is never the maximum, also if all pixels are negative.
    return_indices : bool
    out : array, shape of the result, optional
    ceil : bool
        Whether windows may extend beyond the padding at the bottom and right, as in ``ceil_mode``
        of PyTorch and ONNX: ``b_out = ceil((b + top + bottom - h) / stride) + 1``, without a window
        that begins in the padding at the bottom (right) or beyond.

    Returns
    -------
    Z_out : ndarray, shape (l, b_out, a_out, d)
        The maximum of a window with a NaN is NaN.
    indices : ndarray of int32, shape of Z_out
        With ``return_indices``: the pixel (q, p) of the maximum in its image, ``q * a + p``; the
        first one of equal pixels.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z = np.array([[1.0, 2.0, 3.0], [6.0, 5.0, 4.0]]).reshape(1, 2, 3, 1)
    >>> values, indices = matconv.max_pool2d(Z, 2, stride=1, return_indices=True)
    >>> values.ravel(), indices.ravel()
    (array([6., 5.]), array([3, 4], dtype=int32))
    """
    cdef cnp.ndarray images = as_input("max_pool2d", "Z", Z, 4)
    geometry = pool_geometry("max_pool2d", (<object> images).shape, window, stride, pad, ceil)
    result = as_output("max_pool2d", "out", out, geometry.out_shape, images, (("Z", Z),))
    result, indices = max_pool_forward(geometry, images, return_indices, result)
    return (result, indices) if return_indices else result


def max_pool2d_backward(dZ_out, indices, shape):
    """Compute the gradient for the input of `max_pool2d` from the gradient for its output.

    Parameters
    ----------
    dZ_out : array, shape (l, b_out, a_out, d)
    indices : array of int32, shape of dZ_out
        As returned by `max_pool2d`.
    shape : (l, b, a, d)
        Shape of the images.

    Returns
    -------
    dZ : ndarray, shape (l, b, a, d)
        The gradient of a pixel that is the maximum of several windows is the sum over these.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> indices = np.array([3, 3], np.int32).reshape(1, 1, 2, 1)
    >>> matconv.max_pool2d_backward(np.ones((1, 1, 2, 1)), indices, (1, 2, 3, 1)).ravel()
    array([0., 0., 0., 2., 0., 0.])
    """
    function = "max_pool2d_backward"
    cdef cnp.ndarray gradient = as_input(function, "dZ_out", dZ_out, 4)
    if (
        not isinstance(indices, np.ndarray) or isinstance(indices, np.ma.MaskedArray)
        or indices.dtype.newbyteorder("=") != np.intc
    ):
        got = type(indices).__name__
        if type(indices) is np.ndarray:
            got = indices.dtype
        raise TypeError(f"{function}: indices must be an array of int32, got {got}")
    cdef WindowGeometry geometry = pool_geometry(function, shape, 1)
    cdef Geometry *g = &geometry.c
    outputs = (<object> gradient).shape
    if outputs[0] != g.l or outputs[3] != g.d:
        raise ValueError(
            f"{function}: dZ_out has {outputs[0]} images of {outputs[3]} channels where shape "
            f"says {g.l} of {g.d}"
        )
    check_shape(function, "indices", indices, outputs)
    if indices.size and not (0 <= indices.min() and indices.max() < g.b * g.a):
        raise ValueError(
            f"{function}: indices must be from 0 to {g.b * g.a - 1}, got {indices.min()} to "
            f"{indices.max()}"
        )
    # the adjoint uses only the shapes and the indices, not the window
    g.b_out, g.a_out = outputs[1], outputs[2]
    cdef cnp.ndarray dZ = np.empty(geometry.shape, gradient.dtype)
    scatter(g, gradient, np.require(indices, np.intc, ["C", "A"]), dZ)
    return dZ


def avg_pool2d(Z, window, stride=None, pad=0, out=None, ceil=False, count_pad=False):
    """Compute the mean of each window, channel by channel.

    Parameters
    ----------
    Z, window, stride, pad, out, ceil
        As for `max_pool2d`. The sum is divided by the number of pixels of the window that are in
        the image.
    count_pad : bool
        Whether the sum is divided by the number of pixels of the window that are in the image or
        its padding, which is 0; what extends beyond the padding with ``ceil`` does not count.

    Returns
    -------
    Z_out : ndarray, shape (l, b_out, a_out, d)

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z = np.array([[1.0, 2.0, 3.0]]).reshape(1, 1, 3, 1)
    >>> matconv.avg_pool2d(Z, (1, 2), stride=1, pad=((0, 0), (1, 0))).ravel()
    array([1. , 1.5, 2.5])
    """
    cdef cnp.ndarray images = as_input("avg_pool2d", "Z", Z, 4)
    geometry = pool_geometry("avg_pool2d", (<object> images).shape, window, stride, pad, ceil)
    result = as_output("avg_pool2d", "out", out, geometry.out_shape, images, (("Z", Z),))
    return avg_pool_forward(
        geometry, images, result, counted_padding("avg_pool2d", pad, count_pad)
    )


def avg_pool2d_backward(
    dZ_out, shape, window, stride=None, pad=0, ceil=False, count_pad=False
):
    """Compute the gradient for the input of `avg_pool2d` from the gradient for its output.

    Parameters
    ----------
    dZ_out : array, shape (l, b_out, a_out, d)
    shape : (l, b, a, d)
        Shape of the images.
    window, stride, pad, ceil, count_pad
        As for `avg_pool2d`.

    Returns
    -------
    dZ : ndarray, shape (l, b, a, d)

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> matconv.avg_pool2d_backward(np.ones((1, 1, 1, 1)), (1, 2, 2, 1), 2).ravel()
    array([0.25, 0.25, 0.25, 0.25])
    """
    cdef cnp.ndarray gradient = as_input("avg_pool2d_backward", "dZ_out", dZ_out, 4)
    cdef WindowGeometry geometry = pool_geometry(
        "avg_pool2d_backward", shape, window, stride, pad, ceil
    )
    check_shape("avg_pool2d_backward", "dZ_out", gradient, geometry.out_shape)
    return avg_pool_adjoint(
        geometry, gradient, None, counted_padding("avg_pool2d_backward", pad, count_pad)
    )
