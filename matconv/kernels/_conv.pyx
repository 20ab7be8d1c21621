"""Convolution from Python: `conv2d`, its gradients, and plans.

A `ConvPlan` is a geometry, a dtype and one of three algorithms: products with tiles of phi
(`_conv_im2col`), products of transformed tiles (`_winograd`), or loops over taps
(`_conv_direct`); `_conv_driver` runs them.
"""

import numpy as np

cimport numpy as cnp

from ._activation cimport Activation, relu_if
from ._algorithms cimport IM2COL, WINOGRAD, choose_tile
from ._arrays cimport as_input, as_output, as_scratch, check_shape, keep_scratch
from ._conv_driver cimport (
    Convolution, conv_backward, conv_forward, conv_plan, conv_scratch, conv_set_images, conv_tiles,
)
from ._geometry cimport Geometry, WindowGeometry
from ._guard cimport begin_products, end_products
from ._status cimport ALGORITHM, OK

from ._algorithms import NAMES, as_algorithm
from ._geometry import as_pair

cnp.import_array()


cdef class ConvPlan:
    """The algorithm and the sizes of a convolution.

    Parameters
    ----------
    geometry : WindowGeometry
        The algorithm is chosen for its number of images; a call may have any other number.
    dtype : float64 or float32
    algorithm : "auto", "im2col" or "winograd"
        See `conv2d`.
    tile : (height, width), optional
        Outputs of a tile of Winograd's algorithm; chosen by a fixed rule by default.

    Raises
    ------
    TypeError, ValueError
        The dtype or the algorithm is not one of these, or there are no transforms for the tile.

    Examples
    --------
    >>> from matconv.kernels._conv import ConvPlan
    >>> from matconv.kernels._geometry import WindowGeometry
    >>> plan = ConvPlan(WindowGeometry("conv2d", (8, 56, 56, 64), 3, pad=1, channels=64), float)
    >>> plan.algorithm, plan.tile
    ('winograd', (8, 8))
    """

    def __init__(self, WindowGeometry geometry, dtype, algorithm="auto", tile=None):
        cdef int wanted = as_algorithm(geometry.function, algorithm)
        cdef Py_ssize_t m_b = 0, m_a = 0
        cdef bint is_double
        cdef int status
        self.geometry = geometry
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float64, np.float32):
            raise TypeError(
                f"{geometry.function}: dtype must be float64 or float32, got {self.dtype}"
            )
        is_double = self.dtype == np.float64
        if tile is None:
            choose_tile(&geometry.c, is_double, wanted, False, &m_b, &m_a)
        else:
            m_b, m_a = as_pair(geometry.function, "tile", tile)
        status = ALGORITHM
        if tile is None or m_b > 0:
            status = conv_plan(&geometry.c, is_double, m_b, m_a, &self.c)
        if status == ALGORITHM:
            raise ValueError(
                f"{geometry.function}: no transforms for tiles of {m_b} x {m_a} outputs"
            )
        if status != OK:
            raise OverflowError(f"{geometry.function}: the size of the scratch overflows")

    @property
    def algorithm(self):
        """The algorithm of the plan: "im2col", "winograd", or "direct" for loops over taps."""
        if self.c.direct:
            return "direct"
        return NAMES[WINOGRAD if self.c.by_winograd else IM2COL]

    @property
    def tile(self):
        """(height, width) of the outputs of a tile of Winograd's algorithm, or None."""
        return (self.c.w.b.m, self.c.w.a.m) if self.c.by_winograd else None

    def scratch_size(self, bint backward):
        """Return the elements of scratch for a call with up to the geometry's number of images."""
        return self.size_for(&self.c, backward, False)

    def parts(self):
        """Return the number of tiles of phi, or of blocks of Winograd's tiles."""
        return conv_tiles(&self.c)

    cdef Py_ssize_t size_for(self, const Convolution *part, bint backward, bint guarded) except -1:
        cdef Py_ssize_t size = 0
        if conv_scratch(part, backward, guarded, &size) != OK:
            raise OverflowError(f"{self.geometry.function}: the size of the scratch overflows")
        return size


cdef void *data(cnp.ndarray array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(array)


cdef cnp.ndarray planned_images(ConvPlan plan, object Z, Convolution *c):
    # return Z as the kernels read arrays; OUT: c, the plan for its number of images
    cdef Geometry g
    cdef str function = plan.geometry.function
    cdef cnp.ndarray images = as_input(function, "Z", Z, 4)
    if (cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE) != plan.c.is_double:
        raise TypeError(f"{function}: Z is {images.dtype} where {plan.dtype} was planned")
    plan.geometry.for_images(cnp.PyArray_DIM(images, 0), &g)
    check_shape(function, "Z", images, (g.l, g.b, g.a, g.d))
    c[0] = plan.c
    conv_set_images(c, g.l)
    return images


def forward(
    ConvPlan plan, Z, W, b=None, bint relu=False, out=None, scratch=None, Py_ssize_t part=0,
    Py_ssize_t parts=1,
):
    """Compute `conv2d` by a plan; the number of images is that of Z.

    Parameters
    ----------
    plan : ConvPlan
    Z, W, b, relu, out
        As for `conv2d`.
    scratch : 1-D array of at least ``plan.scratch_size(False)`` elements, optional
    part, parts : int
        Compute one of several near-equal parts of the outputs, with the bits of the whole.

    Returns
    -------
    S : ndarray, shape (l, b_out, a_out, d_out)
    """
    return forward_by(plan, Z, W, b, relu, out, scratch, part, parts, False)


cdef object forward_by(
    ConvPlan plan, object Z, object W, object b, bint relu, object out, object scratch,
    Py_ssize_t part, Py_ssize_t parts, bint guarded,
):
    cdef Convolution c
    cdef const Geometry *g = &c.g
    cdef str function = plan.geometry.function
    cdef cnp.ndarray images = planned_images(plan, Z, &c)
    cdef cnp.ndarray filters = as_input(function, "W", W, 4, images)
    cdef cnp.ndarray bias = None
    check_shape(function, "W", filters, (g.d_g, g.h_b, g.h_a, g.d_out))
    if b is not None:
        bias = as_input(function, "b", b, 1, images)
        check_shape(function, "b", bias, (g.d_out,))
    if not 0 <= part < parts:
        raise ValueError(f"{function}: part must be from 0 to parts - 1, got {part} of {parts}")
    cdef cnp.ndarray S = as_output(
        function, "out", out, (g.l, g.b_out, g.a_out, g.d_out), images,
        (("Z", Z), ("W", W), ("b", b)),
    )
    cdef cnp.ndarray work = as_scratch(
        function, scratch, plan.size_for(&c, False, guarded), images,
        (("Z", images), ("W", filters), ("b", bias), ("out", S)),
    )
    cdef Py_ssize_t tiles = conv_tiles(&c)
    cdef Py_ssize_t first = tiles * part // parts, last = tiles * (part + 1) // parts
    cdef void *Z_ = data(images)
    cdef void *W_ = data(filters)
    cdef void *b_ = data(bias)
    cdef void *S_ = data(S)
    cdef void *work_ = data(work)
    cdef Activation sigma = relu_if(relu)
    cdef const Activation *activation = &sigma if relu else NULL
    begin_products()
    with nogil:
        if c.is_double:
            conv_forward(
                &c, <const double *> Z_, <const double *> W_, <const double *> b_, activation,
                <double *> S_, first, last, <double *> work_, guarded,
            )
        else:
            conv_forward(
                &c, <const float *> Z_, <const float *> W_, <const float *> b_, activation,
                <float *> S_, first, last, <float *> work_, guarded,
            )
        end_products()
    keep_scratch(scratch, work)
    return S


def backward(
    ConvPlan plan, dS, Z, W, bint need_dZ=True, bint need_dW=True, bint need_db=True,
    out_dZ=None, out_dW=None, out_db=None, scratch=None,
):
    """Compute `conv2d_backward` by a plan; the number of images is that of Z.

    Parameters
    ----------
    plan : ConvPlan
    dS, Z, W, need_dZ, need_dW, need_db
        As for `conv2d_backward`.
    out_dZ, out_dW, out_db : arrays, optional
        Arrays for the gradients; C-contiguous.
    scratch : 1-D array of at least ``plan.scratch_size(True)`` elements, optional

    Returns
    -------
    dZ, dW, db : ndarray or None
    """
    return backward_by(
        plan, dS, Z, W, need_dZ, need_dW, need_db, out_dZ, out_dW, out_db, scratch, False
    )


cdef object backward_by(
    ConvPlan plan, object dS, object Z, object W, bint need_dZ, bint need_dW, bint need_db,
    object out_dZ, object out_dW, object out_db, object scratch, bint guarded,
):
    cdef Convolution c
    cdef const Geometry *g = &c.g
    cdef str function = plan.geometry.function
    cdef cnp.ndarray images = planned_images(plan, Z, &c)
    cdef cnp.ndarray filters = as_input(function, "W", W, 4, images)
    cdef cnp.ndarray gradient = as_input(function, "dS", dS, 4, images)
    cdef cnp.ndarray dZ = None
    cdef cnp.ndarray dW = None
    cdef cnp.ndarray db = None
    cdef tuple inputs = (("dS", dS), ("Z", Z), ("W", W))
    check_shape(function, "W", filters, (g.d_g, g.h_b, g.h_a, g.d_out))
    check_shape(function, "dS", gradient, (g.l, g.b_out, g.a_out, g.d_out))
    if need_dZ:
        dZ = as_output(function, "dZ", out_dZ, (g.l, g.b, g.a, g.d), images, inputs)
    if need_dW:
        dW = as_output(function, "dW", out_dW, (g.d_g, g.h_b, g.h_a, g.d_out), images, inputs)
    if need_db:
        db = as_output(function, "db", out_db, (g.d_out,), images, inputs)
    cdef cnp.ndarray work = as_scratch(
        function, scratch, plan.size_for(&c, True, guarded), images,
        (("dS", gradient), ("Z", images), ("W", filters), ("dZ", dZ), ("dW", dW), ("db", db)),
    )
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
            conv_backward(
                &c, <const double *> dS_, <const double *> Z_, <const double *> W_,
                <double *> dZ_, <double *> dW_, <double *> db_, <double *> work_, guarded,
            )
        else:
            conv_backward(
                &c, <const float *> dS_, <const float *> Z_, <const float *> W_, <float *> dZ_,
                <float *> dW_, <float *> db_, <float *> work_, guarded,
            )
        end_products()
    keep_scratch(scratch, work)
    return dZ, dW, db


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
    return forward_by(plan, images, filters, b, relu, S, None, 0, 1, guarded)


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
        plan, dS, images, filters, need_dZ, need_dW, need_db, None, None, None, None, guarded
    )
