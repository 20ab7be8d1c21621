"""A convolution by either path: the drivers that the Python edge, C and frozen networks share."""

from libc.string cimport memcpy

from ._activation cimport Activation
from .conv_im2col cimport (
    im2col_backward, im2col_forward, im2col_prepare_backward, im2col_scratch, im2col_tiles,
)
from .finite cimport all_finite
from .geometry cimport Geometry
from .status cimport OK
from .tile cimport filters_in_tile_order, permute_filters
from .types cimport real
from .winograd cimport (
    Winograd, winograd_backward, winograd_blocks, winograd_forward, winograd_plan,
    winograd_prepare, winograd_prepare_backward, winograd_scratch,
)


cdef int conv_prepared_sizes(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a, Py_ssize_t *filters,
    Py_ssize_t *scratch,
) noexcept nogil:
    cdef Winograd w
    if m_b:
        winograd_plan(g, m_b, m_a, is_double, &w)
        filters[0] = w.size_U
        scratch[0] = winograd_scratch(&w, False)
        return OK
    filters[0] = g.K * g.d_out
    return im2col_scratch(g, False, scratch)


cdef int conv_scratch(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a, bint backward,
    Py_ssize_t *size,
) noexcept nogil:
    cdef Py_ssize_t filters = 0
    cdef int status
    cdef Winograd w
    if not backward:
        status = conv_prepared_sizes(g, is_double, m_b, m_a, &filters, size)
        if m_b or not filters_in_tile_order(g):
            size[0] += filters
        return status
    if m_b:
        winograd_plan(g, m_b, m_a, is_double, &w)
        size[0] = winograd_scratch(&w, True)
        return OK
    status = im2col_scratch(g, True, size)
    # W'; the rest has room for W in the order of its tiles, which preparing W' needs
    size[0] += g.K * g.d_out
    return status


cdef Py_ssize_t conv_pieces(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a
) noexcept nogil:
    cdef Winograd w
    if not m_b:
        return im2col_tiles(g)
    winograd_plan(g, m_b, m_a, is_double, &w)
    return winograd_blocks(g, &w)


cdef Py_ssize_t conv_prepare_scratch(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a
) noexcept nogil:
    cdef Winograd w
    if not m_b:
        return 0
    winograd_plan(g, m_b, m_a, is_double, &w)
    return 2 * w.size_work


cdef void conv_prepare(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *W, real *prepared, real *scratch
) noexcept nogil:
    cdef Winograd w
    if m_b:
        winograd_plan(g, m_b, m_a, real is double, &w)
        winograd_prepare(g, &w, W, prepared, scratch)
    elif filters_in_tile_order(g):
        memcpy(prepared, W, g.K * g.d_out * sizeof(real))
    else:
        permute_filters(g, W, prepared)


cdef void conv_forward_prepared(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *Z, const real *prepared,
    const real *b, const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last,
    real *scratch,
) noexcept nogil:
    cdef Winograd w
    if m_b:
        winograd_plan(g, m_b, m_a, real is double, &w)
        winograd_forward(g, &w, Z, prepared, b, activation, S, NULL, first, last, scratch)
    else:
        im2col_forward(g, Z, prepared, b, activation, S, first, last, scratch)


cdef void conv_forward(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *Z, const real *W,
    const real *b, const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last,
    real *scratch,
) noexcept nogil:
    cdef Py_ssize_t filters = 0, rest = 0
    if not m_b and filters_in_tile_order(g):
        im2col_forward(g, Z, W, b, activation, S, first, last, scratch)
    elif first < last:
        conv_prepared_sizes(g, real is double, m_b, m_a, &filters, &rest)
        conv_prepare(g, m_b, m_a, W, scratch, scratch + filters)
        conv_forward_prepared(
            g, m_b, m_a, Z, scratch, b, activation, S, first, last, scratch + filters
        )


cdef void conv_prepared_backward_sizes(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a, Py_ssize_t *filters,
    Py_ssize_t *scratch,
) noexcept nogil:
    cdef Winograd w
    filters[0] = g.K * g.d_out
    scratch[0] = 0 if filters_in_tile_order(g) else g.K * g.d_out
    if m_b:
        winograd_plan(g, m_b, m_a, is_double, &w)
        filters[0] = w.size_U
        scratch[0] = w.size_W + 2 * w.size_work


cdef void conv_prepare_backward(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *W, real *prepared, real *scratch
) noexcept nogil:
    cdef Winograd w
    if m_b:
        winograd_plan(g, m_b, m_a, real is double, &w)
        winograd_prepare_backward(g, &w, W, prepared, scratch)
    else:
        im2col_prepare_backward(g, W, prepared, scratch)


cdef void conv_backward_prepared(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *dS, const real *Z,
    const real *W, const real *prepared, bint add_images, real *dZ, bint add_parameters, real *dW,
    real *db, real *scratch,
) noexcept nogil:
    cdef Winograd w
    cdef real *W_turned = scratch
    if m_b:
        winograd_plan(g, m_b, m_a, real is double, &w)
        winograd_backward(
            g, &w, dS, Z, W, prepared, add_images, dZ, add_parameters, dW, db, scratch
        )
        return
    if prepared == NULL and dZ != NULL:
        scratch += g.K * g.d_out
        im2col_prepare_backward(g, W, W_turned, scratch)
        prepared = W_turned
    im2col_backward(g, dS, Z, prepared, add_images, dZ, add_parameters, dW, db, scratch)


cdef void conv_backward(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *dS, const real *Z,
    const real *W, real *dZ, real *dW, real *db, real *scratch,
) noexcept nogil:
    conv_backward_prepared(
        g, m_b, m_a, dS, Z, W, <const real *> NULL, False, dZ, False, dW, db, scratch
    )


cdef void conv_forward_guarded(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *Z, const real *W,
    const real *b, const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last,
    real *scratch, bint guarded,
) noexcept nogil:
    cdef bint finite = True
    cdef Winograd w
    if not guarded or not m_b or first >= last:
        conv_forward(g, m_b, m_a, Z, W, b, activation, S, first, last, scratch)
        return
    winograd_plan(g, m_b, m_a, real is double, &w)
    winograd_prepare(g, &w, W, scratch, scratch + w.size_U)
    winograd_forward(
        g, &w, Z, scratch, b, activation, S, &finite, first, last, scratch + w.size_U
    )
    if finite or not all_finite(g.l * g.b * g.a * g.d, Z) or not all_finite(g.K * g.d_out, W):
        return
    if b == NULL or all_finite(g.d_out, b):
        conv_forward(g, 0, 0, Z, W, b, activation, S, 0, im2col_tiles(g), scratch)


cdef void conv_backward_guarded(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *dS, const real *Z,
    const real *W, real *dZ, real *dW, real *db, real *scratch, bint guarded,
) noexcept nogil:
    cdef Py_ssize_t size_Z = g.l * g.b * g.a * g.d, size_W = g.K * g.d_out
    conv_backward(g, m_b, m_a, dS, Z, W, dZ, dW, db, scratch)
    if not guarded or not m_b or (
        (dZ == NULL or all_finite(size_Z, dZ))
        and (dW == NULL or all_finite(size_W, dW))
        and (db == NULL or all_finite(g.d_out, db))
    ):
        return
    # dZ is made of W, dW of Z
    if (
        all_finite(g.l * g.b_out * g.a_out * g.d_out, dS)
        and (dZ == NULL or all_finite(size_W, W))
        and (dW == NULL or all_finite(size_Z, Z))
    ):
        conv_backward(g, 0, 0, dS, Z, W, dZ, dW, db, scratch)
