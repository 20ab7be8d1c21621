"""Convolution from Python: `conv2d` and its gradients."""

cimport numpy as cnp

from ._arrays cimport as_input, as_output
from ._conv cimport ConvPlan, backward_by, forward_by
from ._geometry cimport WindowGeometry

cnp.import_array()


cdef WindowGeometry conv_geometry(
    str function, cnp.ndarray Z, cnp.ndarray W, object stride, object pad, object dilation,
    object groups,
):
    cdef WindowGeometry geometry = WindowGeometry(
        function, (<object> Z).shape, (cnp.PyArray_DIM(W, 1), cnp.PyArray_DIM(W, 2)),
        stride, pad, dilation, groups, cnp.PyArray_DIM(W, 3),
    )
    if cnp.PyArray_DIM(W, 0) != geometry.c.d_g:
        raise ValueError(
            f"{function}: W has {cnp.PyArray_DIM(W, 0)} channels where Z has {geometry.c.d}"
            + (f" in groups of {geometry.c.d_g}" if geometry.c.groups > 1 else "")
        )
    return geometry


def conv2d(
    Z, W, b=None, stride=1, pad=0, dilation=1, groups=1, relu=False, out=None, algorithm="auto"
):
    """Compute S = W phi(Z) + b 1', or sigma(S) with ``relu``: equations (1) to (3).

    Parameters
    ----------
    Z : array, shape (l, b, a, d)
        Images: count, height, width, channels; float64 or float32. l may be 0.
    W : array, shape (d/groups, h_b, h_a, d_out)
        Filters, in the order of theta; ``W.reshape(-1, d_out).T`` is W in the notes.
    b : array, shape (d_out,), optional
    stride, dilation : int or (height, width)
    pad : int, (height, width) or ((top, bottom), (left, right))
        Rows and columns of zeros around each image.
    groups : int
        Output channels k d_out/groups, ... depend on input channels k d/groups, ... only.
    relu : bool
    out : array, shape of the result, optional
        C-contiguous, of Z's dtype, not overlapping Z, W or b.
    algorithm : "auto", "im2col" or "winograd"
        "im2col": the formula itself, exact for integers; a NaN affects only the outputs that depend
        on it. "winograd": fewer multiplications, for filters of 2 to 5 rows and columns after
        division by the stride, without dilation; im2col for others. A NaN or an infinity affects
        its whole tile (at most 10 x 10 inputs of each phase). "auto": the faster one, by a fixed
        rule on the geometry and the dtype (`matconv.kernels._algorithms`); if the result is not
        finite but Z, W and b are, the whole call is repeated by im2col. With several groups of at
        most 8 input and 8 output channels, as in depthwise convolutions, "auto" means loops over
        taps, which are exact for integers too; they skip padding, so that a NaN or an infinity in W
        has no effect where its tap is in the padding.

    Returns
    -------
    S : ndarray, shape (l, b_out, a_out, d_out)
        ``b_out = floor((b + top + bottom - ((h_b - 1) dilation + 1)) / stride) + 1``.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError
        Before anything is written.

    Notes
    -----
    This is a correlation, as in the notes: filters are not flipped. By im2col the error of an
    element is at most ``2 (K + 2) eps (|W| |phi| + |b|)`` with K the number of terms of its sum;
    for Winograd's algorithm see `matconv.kernels.toom_cook.error_growth`.

    Winograd's transforms of finite values may overflow, but not while max|Z|, max|W|, max|b| and
    K max|Z| max|W| are below 1e303 in float64, 1e34 in float32
    (`matconv.kernels.toom_cook.overflow_growth`). With "winograd", and in networks, the call is not
    repeated by im2col then.

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> W = np.ones((1, 3, 3, 1))
    >>> matconv.conv2d(Z, W, np.array([0.5]))[0, :, :, 0]
    array([[45.5, 54.5],
           [81.5, 90.5]])
    """
    cdef cnp.ndarray images = as_input("conv2d", "Z", Z, 4)
    cdef cnp.ndarray filters = as_input("conv2d", "W", W, 4, images)
    cdef WindowGeometry geometry = conv_geometry(
        "conv2d", images, filters, stride, pad, dilation, groups
    )
    # overlap is checked with the arguments, since a converted copy overlaps nothing
    S = as_output("conv2d", "out", out, geometry.out_shape, images, (("Z", Z), ("W", W), ("b", b)))
    cdef ConvPlan plan = ConvPlan(geometry, images.dtype, algorithm)
    cdef bint guarded = algorithm == "auto" and plan.c.by_winograd
    return forward_by(plan, images, filters, b, relu, S, None, 0, 1, guarded, False)


def conv2d_backward(
    dS, Z, W, stride=1, pad=0, dilation=1, groups=1, need_dZ=True, need_dW=True, need_db=True,
    algorithm="auto",
):
    """Compute the gradients for Z, W and b from the gradient for S = W phi(Z) + b 1'.

    Parameters
    ----------
    dS : array, shape (l, b_out, a_out, d_out)
        Gradient for S, before the ReLU (see `bias_relu_backward`).
    Z, W, stride, pad, dilation, groups, algorithm
        As for `conv2d`; the gradients are the exact adjoints of S by the same algorithm. With
        "auto", the whole call is repeated by im2col if a gradient is not finite but its operands
        are. Nothing overflows while max|dS|, max|Z|, max|W|, h_b h_a d_out/groups max|dS| max|W|
        and l b_out a_out max|dS| max|Z| are below 1e298 in float64, 1e32 in float32.
    need_dZ, need_dW, need_db : bool
        Which gradients are computed.

    Returns
    -------
    dZ : ndarray, shape of Z, or None
        ``vec(dZ) = P_phi' vec(W' dS)``.
    dW : ndarray, shape of W, or None
        ``dW = sum_i dS phi(Z^i)'``.
    db : ndarray, shape (d_out,), or None
        ``db = sum_i dS 1``.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z, W = np.ones((1, 3, 3, 1)), np.ones((1, 2, 2, 1))
    >>> dZ, dW, db = matconv.conv2d_backward(np.ones((1, 2, 2, 1)), Z, W)
    >>> dZ[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    >>> dW.ravel(), db
    (array([4., 4., 4., 4.]), array([4.]))
    """
    cdef cnp.ndarray images = as_input("conv2d_backward", "Z", Z, 4)
    cdef cnp.ndarray filters = as_input("conv2d_backward", "W", W, 4, images)
    cdef WindowGeometry geometry = conv_geometry(
        "conv2d_backward", images, filters, stride, pad, dilation, groups
    )
    cdef ConvPlan plan = ConvPlan(geometry, images.dtype, algorithm)
    cdef bint guarded = algorithm == "auto" and plan.c.by_winograd
    return backward_by(
        plan, dS, images, filters, need_dZ, need_dW, need_db, None, None, None, None, guarded,
        False,
    )
