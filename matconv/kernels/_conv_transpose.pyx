"""Transposed convolution from Python: the adjoint of `conv2d` with respect to its images."""

from libc.string cimport memset

cimport numpy as cnp

from ._activation cimport Activation, relu_if
from ._arrays cimport as_input, as_output, as_scratch, check_shape
from ._bias_relu cimport add_rows, bias_activation_rows
from ._conv cimport ConvPlan
from ._conv_driver cimport Convolution, conv_backward, conv_forward, conv_tiles
from ._geometry cimport Geometry
from ._guard cimport begin_products, end_products
from ._types cimport real

from ._geometry import WindowGeometry, transposed_shape

cnp.import_array()


cdef void *data(cnp.ndarray array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(array)


# The plan of the convolution whose adjoint this is: its images are the outputs.
cdef ConvPlan transposed_plan(
    str function, cnp.ndarray Z, cnp.ndarray W, object upsample, object crop, object dilation,
    object extra, object groups, object algorithm,
):
    cdef tuple kernel = (cnp.PyArray_DIM(W, 1), cnp.PyArray_DIM(W, 2))
    l, height, width, d = (<object> Z).shape
    if cnp.PyArray_DIM(W, 3) != d:
        raise ValueError(
            f"{function}: W has {cnp.PyArray_DIM(W, 3)} filters where Z has {d} channels"
        )
    size = transposed_shape(function, (height, width), kernel, upsample, crop, dilation, extra)
    # checks `groups` before the product below
    WindowGeometry(function, (l, 1, 1, d), 1, groups=groups)
    geometry = WindowGeometry(
        function, (l, *size, cnp.PyArray_DIM(W, 0) * int(groups)), kernel, upsample, crop,
        dilation, groups, d,
    )
    return ConvPlan(geometry, (<object> Z).dtype, algorithm)


cdef void transposed_forward(
    const Convolution *c, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S, real *scratch, bint guarded,
) noexcept nogil:
    cdef const Geometry *g = &c.g
    conv_backward(
        c, Z, <const real *> NULL, W, S, <real *> NULL, <real *> NULL, scratch, guarded
    )
    bias_activation_rows(g.l * g.b * g.a, g.d, S, b, activation, S)


cdef void transposed_backward(
    const Convolution *c, const real *dS, const real *Z, const real *W, real *dZ, real *dW,
    real *db, real *scratch, bint guarded,
) noexcept nogil:
    cdef const Geometry *g = &c.g
    if dZ != NULL:
        conv_forward(
            c, dS, W, <const real *> NULL, NULL, dZ, 0, conv_tiles(c), scratch, guarded
        )
    if dW != NULL:
        conv_backward(c, Z, dS, W, <real *> NULL, dW, <real *> NULL, scratch, guarded)
    if db != NULL:
        memset(db, 0, g.d * sizeof(real))
        add_rows(g.l * g.b * g.a, g.d, dS, db)


def conv_transpose2d(
    Z, W, b=None, upsample=1, crop=0, dilation=1, extra=0, groups=1, relu=False, out=None,
    algorithm="auto",
):
    """Compute S = P_phi' W' Z + b 1', the adjoint of `conv2d`, or sigma(S) with ``relu``.

    This is the gradient of a convolution for its images as an operator of its own: each pixel of Z
    adds a filter, multiplied by its elements, to S.

    Parameters
    ----------
    Z : array, shape (l, b, a, d)
        Images: count, height, width, channels; float64 or float32. l may be 0.
    W : array, shape (channels/groups, h_b, h_a, d)
        The filters of the convolution whose adjoint this is, which has ``channels`` input and d
        output channels.
    b : array, shape (channels,), optional
    upsample, dilation : int or (height, width)
        The stride and the dilation of the convolution.
    crop : int, (height, width) or ((top, bottom), (left, right))
        Rows and columns that are removed from S; the padding of the convolution.
    extra : int or (height, width)
        Rows (columns) that are added at the bottom (right), less than ``upsample``.
    groups : int
        Input channels k d/groups, ... contribute to output channels k channels/groups, ... only.
    relu : bool
    out : array, shape of the result, optional
        C-contiguous, of Z's dtype, not overlapping Z, W or b.
    algorithm : "auto", "im2col" or "winograd"
        That of the convolution: see `conv2d`.

    Returns
    -------
    S : ndarray, shape (l, b_out, a_out, channels)
        ``b_out = upsample (b - 1) + (h_b - 1) dilation + 1 - top - bottom + extra``.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError
        Before anything is written.

    Notes
    -----
    Elements of W are multiplied by elements of Z only, so a NaN in Z affects the outputs of its
    filters; one in W all outputs to which its tap contributes.

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> matconv.conv_transpose2d(Z, np.ones((1, 2, 2, 1)), upsample=2)[0, :, :, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.],
           [3., 3., 4., 4.],
           [3., 3., 4., 4.]])
    """
    cdef str function = "conv_transpose2d"
    cdef cnp.ndarray images = as_input(function, "Z", Z, 4)
    cdef cnp.ndarray filters = as_input(function, "W", W, 4, images)
    cdef cnp.ndarray bias = None
    cdef ConvPlan plan = transposed_plan(
        function, images, filters, upsample, crop, dilation, extra, groups, algorithm
    )
    cdef const Convolution *c = &plan.c
    if b is not None:
        bias = as_input(function, "b", b, 1, images)
        check_shape(function, "b", bias, (c.g.d,))
    cdef cnp.ndarray S = as_output(
        function, "out", out, plan.geometry.shape, images, (("Z", Z), ("W", W), ("b", b))
    )
    cdef bint guarded = algorithm == "auto" and c.by_winograd
    cdef cnp.ndarray work = as_scratch(function, None, plan.size_for(c, True, guarded), images, ())
    cdef void *Z_ = data(images)
    cdef void *W_ = data(filters)
    cdef void *b_ = data(bias)
    cdef void *S_ = data(S)
    cdef void *work_ = data(work)
    cdef Activation sigma = relu_if(relu)
    begin_products()
    with nogil:
        if c.is_double:
            transposed_forward(
                c, <const double *> Z_, <const double *> W_, <const double *> b_, &sigma,
                <double *> S_, <double *> work_, guarded,
            )
        else:
            transposed_forward(
                c, <const float *> Z_, <const float *> W_, <const float *> b_, &sigma,
                <float *> S_, <float *> work_, guarded,
            )
        end_products()
    return S


def conv_transpose2d_backward(
    dS, Z, W, upsample=1, crop=0, dilation=1, extra=0, groups=1, need_dZ=True, need_dW=True,
    need_db=True, algorithm="auto",
):
    """Compute the gradients for Z, W and b from the gradient for S = P_phi' W' Z + b 1'.

    Parameters
    ----------
    dS : array, shape (l, b_out, a_out, channels)
        Gradient for S, before the ReLU (see `bias_relu_backward`).
    Z, W, upsample, crop, dilation, extra, groups, algorithm
        As for `conv_transpose2d`.
    need_dZ, need_dW, need_db : bool
        Which gradients are computed.

    Returns
    -------
    dZ : ndarray, shape of Z, or None
        ``dZ = W phi(dS)``, the convolution.
    dW : ndarray, shape of W, or None
        ``dW = sum_i Z^i phi(dS^i)'``.
    db : ndarray, shape (channels,), or None
        ``db = sum_i dS^i 1``.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z, W = np.array([[[[2.0]]]]), np.ones((1, 2, 2, 1))
    >>> dS = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> dZ, dW, db = matconv.conv_transpose2d_backward(dS, Z, W)
    >>> dZ.ravel(), dW.ravel(), db
    (array([10.]), array([2., 4., 6., 8.]), array([10.]))
    """
    cdef str function = "conv_transpose2d_backward"
    cdef cnp.ndarray images = as_input(function, "Z", Z, 4)
    cdef cnp.ndarray filters = as_input(function, "W", W, 4, images)
    cdef cnp.ndarray gradient = as_input(function, "dS", dS, 4, images)
    cdef ConvPlan plan = transposed_plan(
        function, images, filters, upsample, crop, dilation, extra, groups, algorithm
    )
    cdef const Convolution *c = &plan.c
    cdef cnp.ndarray dZ = None, dW = None, db = None
    check_shape(function, "dS", gradient, plan.geometry.shape)
    if need_dZ:
        dZ = as_output(function, "dZ", None, (<object> images).shape, images, ())
    if need_dW:
        dW = as_output(function, "dW", None, (<object> filters).shape, images, ())
    if need_db:
        db = as_output(function, "db", None, (c.g.d,), images, ())
    cdef bint guarded = algorithm == "auto" and c.by_winograd
    cdef Py_ssize_t size = max(
        plan.size_for(c, False, guarded), plan.size_for(c, True, guarded)
    )
    cdef cnp.ndarray work = as_scratch(function, None, size, images, ())
    cdef void *dS_ = data(gradient)
    cdef void *Z_ = data(images)
    cdef void *W_ = data(filters)
    cdef void *dZ_ = data(dZ)
    cdef void *dW_ = data(dW)
    cdef void *db_ = data(db)
    cdef void *work_ = data(work)
    begin_products()
    with nogil:
        if c.is_double:
            transposed_backward(
                c, <const double *> dS_, <const double *> Z_, <const double *> W_,
                <double *> dZ_, <double *> dW_, <double *> db_, <double *> work_, guarded,
            )
        else:
            transposed_backward(
                c, <const float *> dS_, <const float *> Z_, <const float *> W_, <float *> dZ_,
                <float *> dW_, <float *> db_, <float *> work_, guarded,
            )
        end_products()
    return dZ, dW, db
