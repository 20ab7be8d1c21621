"""Transposed convolution from Python: the adjoint of `conv2d` with respect to its images."""

cimport numpy as cnp

from ._arrays cimport as_input, as_output
from ._conv cimport ConvPlan, backward_by, forward_by
from ._geometry cimport transposed_length
from ._status cimport OK, OVERFLOW

from ._geometry import WindowGeometry
from ._sizes import as_padding, as_pair

cnp.import_array()


def transposed_shape(str function, size, kernel, upsample=1, crop=0, dilation=1, extra=0):
    """Return (height, width) of the output of a transposed convolution.

    Parameters
    ----------
    function : str
        The first word of every error message.
    size : (height, width)
        Of the input.
    kernel, upsample, crop, dilation, extra
        As for `matconv.conv_transpose2d`.

    Raises
    ------
    TypeError, ValueError, OverflowError

    Examples
    --------
    >>> from matconv.kernels._conv_transpose import transposed_shape
    >>> transposed_shape("conv_transpose2d", (7, 7), 3, upsample=2, crop=1, extra=1)
    (14, 14)
    """
    cdef Py_ssize_t length = 0
    cdef int status
    size = as_pair(function, "size", size)
    kernel = as_pair(function, "kernel", kernel)
    upsample = as_pair(function, "upsample", upsample)
    dilation = as_pair(function, "dilation", dilation)
    extra = as_pair(function, "extra", extra)
    sides = as_padding(function, crop, "crop")
    for name, values in (
        ("input height and width", size), ("kernel height and width", kernel),
        ("upsample", upsample), ("dilation", dilation),
    ):
        if min(values) < 1:
            raise ValueError(
                f"{function}: {name} must be at least 1, got {' x '.join(map(str, values))}"
            )
    if min(map(min, sides)) < 0:
        raise ValueError(f"{function}: crop must be at least 0, got {sides}")
    if not all([0 <= more < up for more, up in zip(extra, upsample)]):
        raise ValueError(
            f"{function}: extra must be at least 0 and less than upsample {upsample}, got {extra}"
        )
    found = []
    for n, h, up, side, dil, more in zip(size, kernel, upsample, sides, dilation, extra):
        status = transposed_length(n, h, up, side[0], side[1], dil, more, &length)
        if status == OVERFLOW:
            raise OverflowError(f"{function}: the sizes overflow (input {size}, kernel {kernel})")
        if status != OK:
            full = (n - 1) * up + (h - 1) * dil + 1 + more
            raise ValueError(
                f"{function}: crop {sides} must leave at least one row and one column of {full}"
            )
        found.append(length)
    return tuple(found)


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
    cdef ConvPlan plan = transposed_plan(
        function, images, filters, upsample, crop, dilation, extra, groups, algorithm
    )
    # overlap is checked with the arguments, since a converted copy overlaps nothing
    S = as_output(
        function, "out", out, plan.geometry.shape, images, (("Z", Z), ("W", W), ("b", b))
    )
    cdef bint guarded = algorithm == "auto" and plan.c.by_winograd
    return forward_by(plan, images, filters, b, relu, S, None, 0, 1, guarded, True)


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
    cdef ConvPlan plan = transposed_plan(
        function, images, filters, upsample, crop, dilation, extra, groups, algorithm
    )
    cdef bint guarded = algorithm == "auto" and plan.c.by_winograd
    return backward_by(
        plan, dS, images, filters, need_dZ, need_dW, need_db, None, None, None, None, guarded, True
    )
