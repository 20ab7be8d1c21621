"""Convolutions from Python by a plan, and the adjoints of convolutions.

A `ConvPlan` is a geometry, a dtype and one of three algorithms: products with tiles of phi
(`_conv_im2col`), products of transformed tiles (`_winograd`), or loops over taps
(`_conv_direct`); `_conv_driver` runs them.
"""

import numpy as np

cimport numpy as cnp

from ._activation cimport Activation, relu_if
from ._algorithms cimport IM2COL, WINOGRAD, choose_tile
from ._arrays cimport as_input, as_output, as_scratch, check_shape, data, keep_scratch
from ._conv_driver cimport (
    Convolution, conv_backward, conv_forward, conv_plan, conv_scratch, conv_set_images, conv_tiles,
    transposed_backward, transposed_forward,
)
from ._geometry cimport Geometry, WindowGeometry
from ._guard cimport begin_products, end_products
from ._status cimport ALGORITHM, OK

from ._algorithms import NAMES, as_algorithm
from ._sizes import as_pair

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


# Shape of the images of a convolution, and of its outputs; of its adjoint if transposed.
cdef tuple input_shape(const Geometry *g, bint transposed):
    return (g.l, g.b_out, g.a_out, g.d_out) if transposed else (g.l, g.b, g.a, g.d)


cdef tuple output_shape(const Geometry *g, bint transposed):
    return input_shape(g, not transposed)


# Return Z as the kernels read arrays. OUT: c, the plan for its number of images.
cdef cnp.ndarray planned_images(ConvPlan plan, object Z, bint transposed, Convolution *c):
    cdef Geometry g
    cdef str function = plan.geometry.function
    cdef cnp.ndarray images = as_input(function, "Z", Z, 4)
    if (cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE) != plan.c.is_double:
        raise TypeError(f"{function}: Z is {images.dtype} where {plan.dtype} was planned")
    plan.geometry.for_images(cnp.PyArray_DIM(images, 0), &g)
    check_shape(function, "Z", images, input_shape(&g, transposed))
    c[0] = plan.c
    conv_set_images(c, g.l)
    return images


# Elements of scratch of a pass. Raises OverflowError.
cdef Py_ssize_t pass_size(
    ConvPlan plan, const Convolution *c, bint transposed, bint backward, bint guarded
) except -1:
    cdef Py_ssize_t size = plan.size_for(c, transposed or backward, guarded)
    if transposed and backward:
        size = max(size, plan.size_for(c, False, guarded))
    return size


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
    return forward_by(plan, Z, W, b, relu, out, scratch, part, parts, False, False)


cdef object forward_by(
    ConvPlan plan, object Z, object W, object b, bint relu, object out, object scratch,
    Py_ssize_t part, Py_ssize_t parts, bint guarded, bint transposed,
):
    cdef Convolution c
    cdef const Geometry *g = &c.g
    cdef str function = plan.geometry.function
    cdef cnp.ndarray images = planned_images(plan, Z, transposed, &c)
    cdef cnp.ndarray filters = as_input(function, "W", W, 4, images)
    cdef cnp.ndarray bias = None
    check_shape(function, "W", filters, (g.d_g, g.h_b, g.h_a, g.d_out))
    if b is not None:
        bias = as_input(function, "b", b, 1, images)
        check_shape(function, "b", bias, (g.d if transposed else g.d_out,))
    if not 0 <= part < parts:
        raise ValueError(f"{function}: part must be from 0 to parts - 1, got {part} of {parts}")
    cdef cnp.ndarray S = as_output(
        function, "out", out, output_shape(g, transposed), images,
        (("Z", Z), ("W", W), ("b", b)),
    )
    cdef cnp.ndarray work = as_scratch(
        function, scratch, pass_size(plan, &c, transposed, False, guarded), images,
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
        if transposed and c.is_double:
            transposed_forward(
                &c, <const double *> Z_, <const double *> W_, <const double *> b_, activation,
                <double *> S_, <double *> work_, guarded,
            )
        elif transposed:
            transposed_forward(
                &c, <const float *> Z_, <const float *> W_, <const float *> b_, activation,
                <float *> S_, <float *> work_, guarded,
            )
        elif c.is_double:
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
        plan, dS, Z, W, need_dZ, need_dW, need_db, out_dZ, out_dW, out_db, scratch, False,
        False,
    )


cdef object backward_by(
    ConvPlan plan, object dS, object Z, object W, bint need_dZ, bint need_dW, bint need_db,
    object out_dZ, object out_dW, object out_db, object scratch, bint guarded, bint transposed,
):
    cdef Convolution c
    cdef const Geometry *g = &c.g
    cdef str function = plan.geometry.function
    cdef cnp.ndarray images = planned_images(plan, Z, transposed, &c)
    cdef cnp.ndarray filters = as_input(function, "W", W, 4, images)
    cdef cnp.ndarray gradient = as_input(function, "dS", dS, 4, images)
    cdef cnp.ndarray dZ = None
    cdef cnp.ndarray dW = None
    cdef cnp.ndarray db = None
    cdef tuple inputs = (("dS", dS), ("Z", Z), ("W", W))
    check_shape(function, "W", filters, (g.d_g, g.h_b, g.h_a, g.d_out))
    check_shape(function, "dS", gradient, output_shape(g, transposed))
    if need_dZ:
        dZ = as_output(function, "dZ", out_dZ, input_shape(g, transposed), images, inputs)
    if need_dW:
        dW = as_output(function, "dW", out_dW, (g.d_g, g.h_b, g.h_a, g.d_out), images, inputs)
    if need_db:
        shape = (g.d if transposed else g.d_out,)
        db = as_output(function, "db", out_db, shape, images, inputs)
    cdef cnp.ndarray work = as_scratch(
        function, scratch, pass_size(plan, &c, transposed, True, guarded), images,
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
        if transposed and c.is_double:
            transposed_backward(
                &c, <const double *> dS_, <const double *> Z_, <const double *> W_,
                <double *> dZ_, <double *> dW_, <double *> db_, <double *> work_, guarded,
            )
        elif transposed:
            transposed_backward(
                &c, <const float *> dS_, <const float *> Z_, <const float *> W_, <float *> dZ_,
                <float *> dW_, <float *> db_, <float *> work_, guarded,
            )
        elif c.is_double:
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
