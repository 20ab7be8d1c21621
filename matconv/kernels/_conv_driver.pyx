"""Convolution by any algorithm: the drivers that Python functions, C and programs share."""

from libc.string cimport memcpy, memset

from ._activation cimport Activation
from ._conv_direct cimport (
    DIRECT, direct_filters, direct_forward, direct_images, direct_prepare_backward,
)
from ._conv_im2col cimport (
    im2col_adds, im2col_backward, im2col_forward, im2col_prepare_backward, im2col_scratch,
    im2col_tiles, reads_filters,
)
from ._bias_relu cimport add_rows, bias_activation_rows
from ._finite cimport all_finite
from ._geometry cimport Geometry
from ._status cimport ALGORITHM, OK
from ._tile cimport add_run, copy_run, filters_in_tile_order, permute_filters
from ._types cimport real
from ._winograd cimport (
    winograd_add_sums, winograd_backward, winograd_backward_sum, winograd_blocks,
    winograd_forward, winograd_plan, winograd_prepare, winograd_prepare_backward,
    winograd_resize, winograd_scratch,
)


# Compute the members of c that follow from its geometry and algorithm. INOUT: c. Returns a status.
cdef int conv_resize(Convolution *c) noexcept nogil:
    cdef Py_ssize_t filters = c.g.K * c.g.d_out
    cdef int status
    c.row_W = c.g.K
    c.reads_W = not c.by_winograd and not c.direct and reads_filters(&c.g, c.is_double)
    if c.by_winograd:
        winograd_resize(&c.g, &c.w)
        c.prepared = c.prepared_backward = c.w.size_U
        c.preparing = 2 * c.w.size_work
        c.preparing_backward = c.w.size_W + 2 * c.w.size_work
        c.forward = winograd_scratch(&c.w, False)
        c.backward = winograd_scratch(&c.w, True)
        c.sum = c.w.size_U
        return OK
    c.prepared = c.prepared_backward = c.sum = filters
    c.preparing = c.preparing_backward = 0
    if c.direct:
        c.forward = 0
        # prepared filters
        c.backward = filters
        return OK
    status = im2col_scratch(&c.g, c.is_double, False, &c.forward)
    if status == OK:
        status = im2col_scratch(&c.g, c.is_double, True, &c.backward)
    if c.reads_W:
        c.prepared_backward = 0
    c.backward += c.prepared_backward
    return status


cdef int conv_plan(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a, Convolution *c
) noexcept nogil:
    c.g = g[0]
    c.is_double = is_double
    c.by_winograd = m_b > 0
    c.direct = m_b == DIRECT
    if c.by_winograd and not winograd_plan(g, m_b, m_a, is_double, &c.w):
        return ALGORITHM
    return conv_resize(c)


cdef void conv_set_images(Convolution *c, Py_ssize_t l) noexcept nogil:
    # no status: the sizes of im2col do not depend on the number of images
    if c.g.l != l:
        c.g.l = l
        conv_resize(c)


cdef Py_ssize_t conv_band(
    const Convolution *c, Py_ssize_t first, Py_ssize_t last, Convolution *part
) noexcept nogil:
    # windows cover rows y to y_last - 1, of which lo to hi - 1 are rows of the image
    cdef Py_ssize_t y = first * c.g.s_b - c.g.top
    cdef Py_ssize_t y_last = (last - 1) * c.g.s_b - c.g.top + (c.g.h_b - 1) * c.g.dil_b + 1
    cdef Py_ssize_t lo = min(max(y, <Py_ssize_t> 0), c.g.b)
    cdef Py_ssize_t hi = max(min(y_last, c.g.b), lo)
    part[0] = c[0]
    part.g.l = 1
    part.g.b = hi - lo
    part.g.b_out = last - first
    part.g.top = lo - y
    # not read by any loop, but `is_direct` checks that it is 0
    part.g.bottom = c.g.top + c.g.bottom
    conv_resize(part)
    return lo


cdef bint conv_channels(
    const Convolution *c, Py_ssize_t first, Py_ssize_t last, Convolution *part
) noexcept nogil:
    part[0] = c[0]
    part.g.d_g = last - first
    part.g.K = part.g.h_b * part.g.h_a * part.g.d_g
    conv_resize(part)
    if c.by_winograd:
        # the channels of a row of U' are those of all phases
        if c.w.b.phases * c.w.a.phases > 1:
            return False
        part.w.rows_Ut, part.w.step_Ut = c.w.rows_Ut, c.w.step_Ut
        return True
    part.row_W = c.row_W
    return c.g.h_b * c.g.h_a == 1


cdef void conv_units(
    const Convolution *c, Py_ssize_t first, Py_ssize_t last, Convolution *part
) noexcept nogil:
    part[0] = c[0]
    # d_out, the stride of filters and outputs, does not change
    part.g.d_out_g = last - first
    conv_resize(part)


cdef Py_ssize_t conv_tiles(const Convolution *c) noexcept nogil:
    if c.direct:
        return c.g.l * c.g.b_out
    return winograd_blocks(&c.g, &c.w) if c.by_winograd else im2col_tiles(&c.g, c.is_double)


cdef bint conv_reads_theta(const Convolution *c) noexcept nogil:
    return c.direct or (not c.by_winograd and filters_in_tile_order(&c.g))


cdef bint conv_same_prepared(const Convolution *c, const Convolution *other) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef const Geometry *h = &other.g
    if c.by_winograd != other.by_winograd or c.direct != other.direct:
        return False
    if g.d_g != h.d_g or g.groups != h.groups:
        return False
    if not c.by_winograd:
        return g.h_b * g.h_a == h.h_b * h.h_a or (c.direct and g.d_out == h.d_out)
    return (
        c.w.b.m == other.w.b.m and c.w.a.m == other.w.a.m and g.h_b == h.h_b and g.h_a == h.h_a
        and g.s_b == h.s_b and g.s_a == h.s_a
    )


cdef void conv_prepare(
    const Convolution *c, const real *W, real *prepared, real *scratch
) noexcept nogil:
    if c.by_winograd:
        winograd_prepare(&c.g, &c.w, W, prepared, scratch)
    elif conv_reads_theta(c):
        memcpy(prepared, W, c.g.K * c.g.d_out * sizeof(real))
    else:
        permute_filters(&c.g, W, prepared)


cdef bint conv_adds(const Convolution *c) noexcept nogil:
    return c.by_winograd or (not c.direct and im2col_adds(&c.g))


cdef void conv_forward_prepared(
    const Convolution *c, const real *Z, const real *prepared, const real *Z_2,
    const real *prepared_2, const real *b, const Activation *activation, real *S,
    Py_ssize_t first, Py_ssize_t last, real *scratch,
) noexcept nogil:
    if c.by_winograd:
        winograd_forward(
            &c.g, &c.w, Z, prepared, Z_2, prepared_2, b, activation, S, NULL, first, last, scratch
        )
    elif c.direct:
        direct_forward(&c.g, Z, prepared, b, activation, S, first, last)
    else:
        im2col_forward(
            &c.g, Z, prepared, Z_2, prepared_2, b, activation, S, first, last, scratch
        )


cdef void conv_prepare_backward(
    const Convolution *c, const real *W, real *prepared, Py_ssize_t first, Py_ssize_t last,
    real *scratch,
) noexcept nogil:
    if c.by_winograd:
        winograd_prepare_backward(&c.g, &c.w, W, prepared, first, last, scratch)
    elif c.direct:
        direct_prepare_backward(&c.g, W, prepared, first, last)
    else:
        im2col_prepare_backward(&c.g, W, prepared, first, last)


cdef void conv_backward_prepared(
    const Convolution *c, const real *dS, const real *Z, const real *W, const real *prepared,
    bint add_images, real *dZ, bint add_parameters, real *dW, real *db, real *scratch,
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t row_W = c.row_W
    if c.by_winograd:
        winograd_backward(
            g, &c.w, dS, Z, W, prepared, add_images, dZ, add_parameters, dW, db, scratch
        )
        return
    if c.reads_W:
        prepared = W
    elif prepared == NULL and dZ != NULL:
        conv_prepare_backward(c, W, scratch, 0, g.d_out, <real *> NULL)
        prepared = scratch
        row_W = g.K
        scratch += g.K * g.d_out
    if c.direct:
        if db != NULL:
            if not add_parameters:
                memset(db, 0, g.d_out * sizeof(real))
            add_rows(g.l * g.b_out * g.a_out, g.d_out, dS, db)
        direct_gradients(g, dS, Z, prepared, add_images, dZ, add_parameters, dW)
        return
    im2col_backward(
        g, dS, Z, prepared, row_W, add_images, dZ, add_parameters, dW, db, scratch
    )


# The gradients for Z and W by direct loops; NULL: not computed.
cdef void direct_gradients(
    const Geometry *g, const real *dS, const real *Z, const real *prepared, bint add_images,
    real *dZ, bint add_parameters, real *dW,
) noexcept nogil:
    if dZ != NULL:
        direct_images(g, dS, prepared, add_images, dZ)
    if dW != NULL:
        direct_filters(g, dS, Z, add_parameters, dW)


cdef void conv_backward_sum(
    const Convolution *c, const real *dS, const real *Z, const real *prepared, bint add_images,
    real *dZ, bint add, real *sum, real *scratch,
) noexcept nogil:
    if c.by_winograd:
        winograd_backward_sum(
            &c.g, &c.w, dS, Z, prepared, add_images, dZ, add, sum, scratch
        )
    elif c.direct:
        direct_gradients(&c.g, dS, Z, prepared, add_images, dZ, add, sum)
    else:
        im2col_backward(
            &c.g, dS, Z, prepared, c.row_W, add_images, dZ, add, sum, <real *> NULL, scratch
        )


cdef void conv_add_sums(
    const Convolution *c, real *sums, Py_ssize_t n, Py_ssize_t first, Py_ssize_t last, bint add,
    real *dW, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t channel = c.g.h_b * c.g.h_a * c.g.d_out, k
    if c.by_winograd:
        winograd_add_sums(&c.g, &c.w, sums, n, first, last, add, dW, scratch)
        return
    dW += first * channel
    sums += first * channel
    if not add:
        copy_run(dW, sums, (last - first) * channel)
    for k in range(0 if add else 1, n):
        add_run(dW, sums + k * c.sum, (last - first) * channel)


cdef int conv_scratch(
    const Convolution *c, bint backward, bint guarded, Py_ssize_t *size
) noexcept nogil:
    cdef Convolution other
    cdef Py_ssize_t needed = 0
    cdef int status
    size[0] = c.backward
    if not backward:
        size[0] = c.forward
        if not conv_reads_theta(c):
            size[0] += c.prepared
    if not guarded or not c.by_winograd:
        return OK
    status = conv_plan(&c.g, c.is_double, 0, 0, &other)
    if status == OK:
        status = conv_scratch(&other, backward, False, &needed)
    size[0] = max(size[0], needed)
    return status


cdef void conv_forward(
    const Convolution *c, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last, real *scratch,
    bint guarded,
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef real *rest = scratch + c.prepared
    cdef const real *none = NULL
    cdef bint finite = True
    cdef Convolution other
    if first >= last:
        return
    if conv_reads_theta(c):
        conv_forward_prepared(c, Z, W, none, none, b, activation, S, first, last, scratch)
        return
    conv_prepare(c, W, scratch, rest)
    if not guarded or not c.by_winograd:
        conv_forward_prepared(c, Z, scratch, none, none, b, activation, S, first, last, rest)
        return
    winograd_forward(
        g, &c.w, Z, scratch, none, none, b, activation, S, &finite, first, last, rest
    )
    if finite or not all_finite(g.l * g.b * g.a * g.d, Z) or not all_finite(g.K * g.d_out, W):
        return
    if b == NULL or all_finite(g.d_out, b):
        conv_plan(g, c.is_double, 0, 0, &other)
        conv_forward(&other, Z, W, b, activation, S, 0, conv_tiles(&other), scratch, False)


cdef void conv_backward(
    const Convolution *c, const real *dS, const real *Z, const real *W, real *dZ, real *dW,
    real *db, real *scratch, bint guarded,
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t size_Z = g.l * g.b * g.a * g.d, size_W = g.K * g.d_out
    cdef Convolution other
    conv_backward_prepared(
        c, dS, Z, W, <const real *> NULL, False, dZ, False, dW, db, scratch
    )
    if not guarded or not c.by_winograd or (
        (dZ == NULL or all_finite(size_Z, dZ))
        and (dW == NULL or all_finite(size_W, dW))
        and (db == NULL or all_finite(g.d_out, db))
    ):
        return
    # the operands of dZ are dS and W, those of dW are dS and Z
    if (
        all_finite(g.l * g.b_out * g.a_out * g.d_out, dS)
        and (dZ == NULL or all_finite(size_W, W))
        and (dW == NULL or all_finite(size_Z, Z))
    ):
        conv_plan(g, c.is_double, 0, 0, &other)
        conv_backward(&other, dS, Z, W, dZ, dW, db, scratch, False)


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
