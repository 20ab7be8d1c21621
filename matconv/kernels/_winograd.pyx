"""Winograd's convolution: a small product for each transformed position instead of a large one.

    V_k(d', T) = (B'_b d B_a)_k     for T tiles of the input       d' = channels, of all phases
    U_k(d_out, d') = (G_b g G'_a)_k for the filters
    M_k(d_out, T) = U_k V_k                                        k = 1, ..., n_b n_a
    S(d_out, tile) = A'_b M A_a

and its exact adjoint, which is the gradient: with dM = A_b dS A'_a,

    dU_k = dM_k V_k'      dW = G'_b dU G_a
    dV_k = U_k' dM_k      dZ = B_b dV B'_a, added where tiles overlap

A filter with stride s is the sum of s x s filters with stride 1 on every s-th row and column: its
phases, which are treated as additional channels. Channels are contiguous, so the inner loop of each
transform is over channels. Tiles are counted through all images and processed in blocks.
"""

from libc.string cimport memset

from ._activation cimport Activation
from ._blas cimport product
from ._geometry cimport Geometry, mul_overflows
from ._tile cimport add_run
from ._transforms cimport (
    FILTER, FILTER_ADJOINT, INPUT, INPUT_ADJOINT, INPUT_ADJOINT_ADD, OUTPUT, OUTPUT_ADJOINT, choose,
)
from ._tuning cimport Tuning, tuning_of
from ._types cimport real
from ._winograd_filters cimport (
    filter_transform, filter_transform_adjoint, filter_transform_transposed,
)
from ._winograd_tiles cimport (
    input_tile, input_tile_adjoint, output_tile, output_tile_adjoint, tile_at,
)

cdef enum:
    # a U with more elements does not stay in cache
    REUSE_ELEMENTS = 1 << 19
    # added to the distance of positions, so that it is not a power of two, for which they would
    # have the same cache set
    SKEW = 24


# The plan for h filter taps with stride s. OUT: way. Returns whether there are transforms.
cdef bint plan_direction(
    Py_ssize_t m, Py_ssize_t h, Py_ssize_t s, bint is_double, Direction *way
) noexcept nogil:
    way.r = (h - 1) // s + 1
    way.m = m
    way.n = m + way.r - 1
    way.phases = s
    way.input = choose(is_double, INPUT, way.n, m)
    way.input_adjoint = choose(is_double, INPUT_ADJOINT, way.n, m)
    way.input_adjoint_add = choose(is_double, INPUT_ADJOINT_ADD, way.n, m)
    way.output = choose(is_double, OUTPUT, way.n, m)
    way.output_adjoint = choose(is_double, OUTPUT_ADJOINT, way.n, m)
    way.filter = choose(is_double, FILTER, way.n, m)
    way.filter_adjoint = choose(is_double, FILTER_ADJOINT, way.n, m)
    return way.filter != NULL and way.input != NULL


cdef bint winograd_plan(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, bint is_double, Winograd *w
) noexcept nogil:
    cdef Py_ssize_t elements = 0, max_tiles = tuning_of(is_double).max_tiles
    if g.dil_b != 1 or g.dil_a != 1:
        return False
    if not plan_direction(m_b, g.h_b, g.s_b, is_double, &w.b):
        return False
    if not plan_direction(m_a, g.h_a, g.s_a, is_double, &w.a):
        return False
    w.is_double = is_double
    w.positions = w.b.n * w.a.n
    # 2 <= r = (h - 1) // s + 1, so s < h and `inner` < K
    w.inner = w.b.phases * w.a.phases * g.d_g
    # the sizes of winograd_resize, in bytes, are at most a few times this one
    if mul_overflows(w.inner + 2 * max_tiles, g.d_out + 2 * max_tiles, &elements):
        return False
    if mul_overflows(elements, 16 * w.positions * <Py_ssize_t> sizeof(double), &elements):
        return False
    winograd_resize(g, w)
    return True


cdef void winograd_resize(const Geometry *g, Winograd *w) noexcept nogil:
    cdef const Tuning *tuning = tuning_of(w.is_double)
    cdef Py_ssize_t usual, count, total
    w.b.tiles = (g.b_out + w.b.m - 1) // w.b.m
    w.a.tiles = (g.a_out + w.a.m - 1) // w.a.m
    w.inner = w.b.phases * w.a.phases * g.d_g
    # near-equal blocks, which depend on the geometry only, since bits do not depend on threads
    # of tiles for which V and M together are about as large as U
    usual = w.inner * g.d_out_g // (w.inner + g.d_out_g)
    usual = min(max(usual, tuning.min_tiles), tuning.max_tiles)
    total = max(g.l, <Py_ssize_t> 1) * w.b.tiles * w.a.tiles
    count = max(<Py_ssize_t> 1, (total + usual // 2) // usual)
    w.block = (total + count - 1) // count
    # also sufficient for fewer images, whose blocks are at most 1.5 times as long as usual
    total = min(total, usual * 3 // 2)
    w.step_U = w.inner * g.d_out + SKEW
    w.step_V = total * w.inner + SKEW
    w.step_M = total * g.d_out_g + SKEW
    w.rows_Ut = w.inner
    w.step_Ut = w.step_U
    w.size_U = w.positions * w.step_U
    w.reuse_U = w.size_U > REUSE_ELEMENTS
    w.size_W = g.K * g.d_out
    w.size_V = w.positions * w.step_V
    w.size_M = w.positions * w.step_M
    w.size_work = w.b.n * w.a.n * max(w.a.phases * g.d_g, g.d_out)


cdef Py_ssize_t winograd_scratch(const Winograd *w, bint backward) noexcept nogil:
    cdef Py_ssize_t size = w.size_V + w.size_M + 2 * w.size_work
    # U' and dU, or one of them and W'
    if backward:
        size += w.size_U + (w.size_W if w.reuse_U else w.size_U)
    return size


cdef Py_ssize_t winograd_blocks(const Geometry *g, const Winograd *w) noexcept nogil:
    return (g.l * w.b.tiles * w.a.tiles + w.block - 1) // w.block


cdef void winograd_prepare(
    const Geometry *g, const Winograd *w, const real *W, real *U, real *scratch
) noexcept nogil:
    filter_transform(g, w, W, U, scratch)


# M_k of n tiles from t0 on and a group, or += if add. IN: Z, U, from the group's first channel or
# filter on. OUT: M. SCRATCH: V, work.
cdef void block_products(
    const Geometry *g, const Winograd *w, Py_ssize_t t0, Py_ssize_t n, const real *Z,
    const real *U, bint add, real *M, real *V, real *work,
) noexcept nogil:
    cdef Py_ssize_t t, k
    for t in range(n):
        input_tile(g, w, tile_at(w, t0 + t), Z, V + t * w.inner, work)
    for k in range(w.positions):
        # M_k(d_out_g, n) = U_k(d_out_g, d') V_k(d', n)
        product(c'N', c'N', g.d_out_g, n, w.inner, U + k * w.step_U, g.d_out, V + k * w.step_V,
                w.inner, add, M + k * w.step_M, g.d_out_g)


cdef void winograd_forward(
    const Geometry *g, const Winograd *w, const real *Z, const real *U, const real *Z_2,
    const real *U_2, const real *b, const Activation *activation, real *S, bint *finite,
    Py_ssize_t first, Py_ssize_t last, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t t0 = first * w.block, stop = min(last * w.block, g.l * w.b.tiles * w.a.tiles)
    cdef Py_ssize_t n, t, group, f = g.d_out_g
    cdef real *V = scratch
    cdef real *M = V + w.size_V
    cdef real *work = M + w.size_M
    cdef const real *b_group = NULL
    while t0 < stop:
        n = min(w.block, stop - t0)
        for group in range(g.groups):
            block_products(g, w, t0, n, Z + group * g.d_g, U + group * f, False, M, V, work)
            if Z_2 != NULL:
                block_products(
                    g, w, t0, n, Z_2 + group * g.d_g, U_2 + group * f, True, M, V, work
                )
            if b != NULL:
                b_group = b + group * f
            for t in range(n):
                output_tile(
                    g, w, tile_at(w, t0 + t), M + t * f, b_group, activation, S + group * f,
                    finite, work,
                )
        t0 += n


# The blocks of the backward pass: dU, db and dZ; NULL: not computed. IN: dS, Z, Ut with strides
# rows_Ut and step_Ut. OUT: dU, or += if add. INOUT: dZ and db, added to. SCRATCH: V, dM, work.
cdef void backward_blocks(
    const Geometry *g, const Winograd *w, const real *dS, const real *Z, const real *Ut,
    Py_ssize_t rows_Ut, Py_ssize_t step_Ut, real *dZ, bint add, real *dU, real *db, real *V,
    real *dM, real *work,
) noexcept nogil:
    cdef Py_ssize_t total = g.l * w.b.tiles * w.a.tiles
    cdef Py_ssize_t t0 = 0, n, t, k, group, f = g.d_out_g
    while t0 < total:
        n = min(w.block, total - t0)
        for group in range(g.groups):
            for t in range(n):
                output_tile_adjoint(
                    g, w, tile_at(w, t0 + t), dS + group * f, dM + t * f,
                    db if db == NULL else db + group * f, work,
                )
            if dU != NULL:
                for t in range(n):
                    input_tile(g, w, tile_at(w, t0 + t), Z + group * g.d_g, V + t * w.inner, work)
                for k in range(w.positions):
                    # dU_k(d_out_g, d') += dM_k(d_out_g, n) V_k(d', n)'
                    product(c'N', c'T', f, w.inner, n, dM + k * w.step_M, f, V + k * w.step_V,
                            w.inner, add or t0 != 0, dU + k * w.step_U + group * f, g.d_out)
            if dZ != NULL:
                for k in range(w.positions):
                    # dV_k(d', n) = U_k(d_out_g, d')' dM_k(d_out_g, n)
                    product(c'N', c'N', w.inner, n, f, Ut + k * step_Ut + group * f * rows_Ut,
                            rows_Ut, dM + k * w.step_M, f, False, V + k * w.step_V, w.inner)
                for t in range(n):
                    input_tile_adjoint(
                        g, w, tile_at(w, t0 + t), V + t * w.inner, dZ + group * g.d_g, work
                    )
        t0 += n


cdef void winograd_prepare_backward(
    const Geometry *g, const Winograd *w, const real *W, real *Ut, Py_ssize_t first,
    Py_ssize_t last, real *scratch,
) noexcept nogil:
    filter_transform_transposed(g, w, W, Ut, first, last, scratch + w.size_W, scratch)


cdef void winograd_backward(
    const Geometry *g, const Winograd *w, const real *dS, const real *Z, const real *W,
    const real *Ut, bint add_images, real *dZ, bint add_parameters, real *dW, real *db,
    real *scratch,
) noexcept nogil:
    cdef real *first = scratch
    cdef real *second = first + w.size_U
    cdef real *V = second + (w.size_W if w.reuse_U else w.size_U)
    cdef real *dM = V + w.size_V
    cdef real *work = dM + w.size_M
    cdef real *dU = NULL
    cdef Py_ssize_t rows_Ut = w.rows_Ut, step_Ut = w.step_Ut
    cdef bint separate = w.reuse_U and Ut == NULL  # dU first, then U' and dZ
    if db != NULL and not add_parameters:
        memset(db, 0, g.d_out * sizeof(real))
    if dW != NULL:
        # after U', unless they use the same memory or U' is given
        dU = first if w.reuse_U or Ut != NULL else second
    if dZ != NULL and not add_images:
        memset(dZ, 0, g.l * g.b * g.a * g.d * sizeof(real))
    if g.l == 0:
        if dW != NULL and not add_parameters:
            memset(dW, 0, g.K * g.d_out * sizeof(real))
        return
    if separate and (dW != NULL or dZ == NULL):
        backward_blocks(g, w, dS, Z, first, 0, 0, <real *> NULL, False, dU, db, V, dM, work)
        if dW != NULL:
            filter_transform_adjoint(g, w, dU, 0, g.d_g, add_parameters, dW, work)
        dU = NULL
        db = NULL
    if dZ != NULL and Ut == NULL:
        filter_transform_transposed(g, w, W, first, 0, g.d_out, work, second)
        Ut = first
        rows_Ut, step_Ut = w.inner, w.step_U
    if dZ != NULL or dU != NULL or db != NULL:
        backward_blocks(g, w, dS, Z, Ut, rows_Ut, step_Ut, dZ, False, dU, db, V, dM, work)
    if dU != NULL:
        filter_transform_adjoint(g, w, dU, 0, g.d_g, add_parameters, dW, work)


cdef void winograd_backward_sum(
    const Geometry *g, const Winograd *w, const real *dS, const real *Z, const real *Ut,
    bint add_images, real *dZ, bint add, real *dU, real *scratch,
) noexcept nogil:
    cdef real *dM = scratch + w.size_V
    cdef real *work = dM + w.size_M
    if dZ != NULL and not add_images:
        memset(dZ, 0, g.l * g.b * g.a * g.d * sizeof(real))
    if dZ != NULL or dU != NULL:
        backward_blocks(
            g, w, dS, Z, Ut, w.rows_Ut, w.step_Ut, dZ, add, dU, <real *> NULL, scratch, dM, work
        )


cdef void winograd_add_sums(
    const Geometry *g, const Winograd *w, real *dU, Py_ssize_t n, Py_ssize_t first,
    Py_ssize_t last, bint add, real *dW, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t k, i, phase, at
    for i in range(1, n):
        for k in range(w.positions):
            for phase in range(w.b.phases * w.a.phases):
                at = k * w.step_U + (phase * g.d_g + first) * g.d_out
                add_run(dU + at, dU + i * w.size_U + at, (last - first) * g.d_out)
    filter_transform_adjoint(g, w, dU, first, last, add, dW, scratch)
