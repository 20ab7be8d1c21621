"""Functions of the C interface for steps with filters: convolution, its adjoint, dense layers.

``include/matconv/table.h`` has their contracts.
"""

from ._activation cimport Activation, activation_status
from ._algorithms cimport AUTO, IM2COL, WINOGRAD, choose_tile
from ._capi_checks cimport check_scratch, checked_geometry
from ._conv_driver cimport (
    Convolution, conv_backward, conv_forward, conv_plan, conv_scratch, conv_tiles,
    transposed_backward, transposed_forward,
)
from ._geometry cimport Geometry, geometry_default
from ._guard cimport begin_products_from_c, end_products
from ._status cimport ALGORITHM, NULL_POINTER, OK
from ._types cimport real


# Plan a convolution. IN: given. OUT: c. Returns a status.
cdef inline int plan_convolution(
    const Geometry *given, int algorithm, bint is_double, Convolution *c
) noexcept nogil:
    cdef Geometry g
    cdef Py_ssize_t m_b = 0, m_a = 0
    cdef int status = checked_geometry(given, &g)
    if status != OK:
        return status
    if not AUTO <= algorithm <= WINOGRAD:
        return ALGORITHM
    choose_tile(&g, is_double, algorithm, False, &m_b, &m_a)
    return conv_plan(&g, is_double, m_b, m_a, c)


# Elements of scratch of a pass of a convolution or, if transposed, of its adjoint. OUT: size.
# Returns a status.
cdef inline int pass_scratch(
    const Convolution *c, bint transposed, bint backward, Py_ssize_t *size
) noexcept nogil:
    cdef Py_ssize_t other = 0
    cdef int status = conv_scratch(c, transposed or backward, False, size)
    if status == OK and transposed and backward:
        status = conv_scratch(c, False, False, &other)
        size[0] = max(size[0], other)
    return status


# Elements of scratch of both passes. IN: given. OUT: forward, backward, or NULL. Returns a status.
cdef inline int scratch_sizes(
    const Geometry *given, int algorithm, bint is_double, bint transposed, Py_ssize_t *forward,
    Py_ssize_t *backward,
) noexcept nogil:
    cdef Convolution c
    cdef int status = plan_convolution(given, algorithm, is_double, &c)
    if status == OK and forward != NULL:
        status = pass_scratch(&c, transposed, False, forward)
    if status == OK and backward != NULL:
        status = pass_scratch(&c, transposed, True, backward)
    return status


# Plan a pass of a convolution or of its adjoint. IN: given, activation or NULL. OUT: c, and the
# elements of scratch that the pass needs. Returns a status.
cdef inline int plan_pass(
    const Geometry *given, int algorithm, bint is_double, bint transposed, bint backward,
    const Activation *activation, Convolution *c, Py_ssize_t *needed,
) noexcept nogil:
    cdef int status = plan_convolution(given, algorithm, is_double, c)
    if status == OK:
        status = activation_status(activation, is_double)
    if status == OK:
        status = pass_scratch(c, transposed, backward, needed)
    return status


# Check the arrays and the scratch of a planned pass, S of the forward or dS of the backward one,
# and begin its products. Returns a status; if OK, `end_products` must be called.
cdef inline int begin_pass(
    const Convolution *c, const void *Z, const void *W, const void *S, Py_ssize_t needed,
    const void *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    cdef int status
    if W == NULL or (c.g.l > 0 and (Z == NULL or S == NULL)):
        return NULL_POINTER
    status = check_scratch(needed, scratch, scratch_size)
    return begin_products_from_c() if status == OK else status


cdef inline int forward_by(
    const Geometry *given, int algorithm, bint transposed, const real *Z, const real *W,
    const real *b, const Activation *activation, real *S, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    cdef Convolution c
    cdef Py_ssize_t needed = 0
    cdef int status = plan_pass(
        given, algorithm, real is double, transposed, False, activation, &c, &needed
    )
    if status == OK:
        status = begin_pass(&c, Z, W, S, needed, scratch, scratch_size)
    if status != OK:
        return status
    if transposed:
        transposed_forward(&c, Z, W, b, activation, S, scratch, False)
    else:
        conv_forward(&c, Z, W, b, activation, S, 0, conv_tiles(&c), scratch, False)
    end_products()
    return OK


# With room_for_W, scratch has at least as many elements as W, whatever is needed on this machine.
cdef inline int backward_by(
    const Geometry *given, int algorithm, bint transposed, const real *dS, const real *Z,
    const real *W, real *dZ, real *dW, real *db, real *scratch, Py_ssize_t scratch_size,
    bint room_for_W,
) noexcept nogil:
    cdef Convolution c
    cdef Py_ssize_t needed = 0
    cdef int status = plan_pass(
        given, algorithm, real is double, transposed, True, NULL, &c, &needed
    )
    if status == OK and room_for_W:
        needed = max(needed, c.g.K * c.g.d_out)
    if status == OK:
        status = begin_pass(&c, Z, W, dS, needed, scratch, scratch_size)
    if status != OK:
        return status
    if transposed:
        transposed_backward(&c, dS, Z, W, dZ, dW, db, scratch, False)
    else:
        conv_backward(&c, dS, Z, W, dZ, dW, db, scratch, False)
    end_products()
    return OK


cdef inline int api_conv_scratch_f64(
    const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
) noexcept nogil:
    return scratch_sizes(g, algorithm, True, False, forward, backward)


cdef inline int api_conv_scratch_f32(
    const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
) noexcept nogil:
    return scratch_sizes(g, algorithm, False, False, forward, backward)


cdef inline int api_conv_forward(
    const Geometry *g, int algorithm, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    return forward_by(g, algorithm, False, Z, W, b, activation, S, scratch, scratch_size)


cdef inline int api_conv_backward(
    const Geometry *g, int algorithm, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    return backward_by(
        g, algorithm, False, dS, Z, W, dZ, dW, db, scratch, scratch_size, False
    )


cdef inline int api_conv_transpose_scratch_f64(
    const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
) noexcept nogil:
    return scratch_sizes(g, algorithm, True, True, forward, backward)


cdef inline int api_conv_transpose_scratch_f32(
    const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
) noexcept nogil:
    return scratch_sizes(g, algorithm, False, True, forward, backward)


cdef inline int api_conv_transpose_forward(
    const Geometry *g, int algorithm, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    return forward_by(g, algorithm, True, Z, W, b, activation, S, scratch, scratch_size)


cdef inline int api_conv_transpose_backward(
    const Geometry *g, int algorithm, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    return backward_by(
        g, algorithm, True, dS, Z, W, dZ, dW, db, scratch, scratch_size, False
    )


# A dense layer as a 1x1 convolution of images of one pixel. OUT: g.
cdef inline void dense_geometry(
    Py_ssize_t l, Py_ssize_t m, Py_ssize_t units, Geometry *g
) noexcept nogil:
    geometry_default(g)
    g.l = l
    g.b = g.a = g.h_b = g.h_a = 1
    g.d = m
    g.d_out = units


cdef inline int api_dense_forward(
    Py_ssize_t l, Py_ssize_t m, Py_ssize_t units, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S,
) noexcept nogil:
    cdef Geometry g
    dense_geometry(l, m, units, &g)
    return forward_by(&g, IM2COL, False, Z, W, b, activation, S, <real *> NULL, 0)


cdef inline int api_dense_backward(
    Py_ssize_t l, Py_ssize_t m, Py_ssize_t units, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    cdef Geometry g
    dense_geometry(l, m, units, &g)
    return backward_by(
        &g, IM2COL, False, dS, Z, W, dZ, dW, db, scratch, scratch_size, True
    )
