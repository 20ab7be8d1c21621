"""Winograd's convolution: one small product per transformed position instead of one large one.

    V_k(d', T) = (B'_b d B_a)_k     of T tiles of the input        d' = channels, of all phases
    U_k(d_out, d') = (G_b g G'_a)_k of the filters
    M_k(d_out, T) = U_k V_k                                        k = 1, ..., n_b n_a
    S(d_out, tile) = A'_b M A_a

and its exact adjoint, which is the gradient: with dM = A_b dS A'_a,

    dU_k = dM_k V_k'      dW = G'_b dU G_a
    dV_k = U_k' dM_k      dZ = B_b dV B'_a, added where tiles overlap

A filter with stride s is the sum of s x s filters with stride 1 on every s-th row and column: its
phases, which here are further channels. Channels are contiguous, so each transform runs along
them. Tiles are counted through all images and go in blocks.
"""

from libc.string cimport memset

from .bias_relu cimport add_rows, bias_relu_rows
from .blas cimport product
from .geometry cimport Geometry, mul_overflows
from .tile cimport add_run, copy_run, transpose, zero_run
from .transforms cimport (
    FILTER, FILTER_ADJOINT, INPUT, INPUT_ADJOINT, INPUT_ADJOINT_ADD, OUTPUT, OUTPUT_ADJOINT, apply,
    choose,
)
from .types cimport real

cdef enum:
    # tiles of a block: as many as make V and M together about as large as U, within these
    BLOCK_LEAST = 32
    BLOCK_MOST = 128
    # a U with more numbers would not stay in cache either
    APART_NUMBERS = 1 << 19
    # positions are never a power of two apart, which would crowd them into one cache set
    SKEW = 24


cdef bint plan_direction(
    Py_ssize_t m, Py_ssize_t h, Py_ssize_t s, Py_ssize_t outputs, bint is_double, Direction *way
) noexcept nogil:
    way.r = (h + s - 1) // s
    way.m = m
    way.n = m + way.r - 1
    way.phases = s
    way.tiles = (outputs + m - 1) // m
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
    cdef Py_ssize_t usual, count, total, numbers, bytes_
    if g.dil_b != 1 or g.dil_a != 1:
        return False
    if not plan_direction(m_b, g.h_b, g.s_b, g.b_out, is_double, &w.b):
        return False
    if not plan_direction(m_a, g.h_a, g.s_a, g.a_out, is_double, &w.a):
        return False
    w.positions = w.b.n * w.a.n
    # r <= 5, so a stride is at most the filter's size and `inner` at most K
    w.inner = w.b.phases * w.a.phases * g.d_g
    # K d_out fits, and inner is at most K: no size below is over a few times this one, in bytes
    numbers = (w.inner + 2 * BLOCK_MOST) * (g.d_out + 2 * BLOCK_MOST)
    if mul_overflows(numbers, 16 * w.positions * <Py_ssize_t> sizeof(double), &bytes_):
        return False
    # near-equal blocks, of the geometry alone, so that the bits are too
    usual = w.inner * g.d_out_g // (w.inner + g.d_out_g)
    usual = min(max(usual, <Py_ssize_t> BLOCK_LEAST), <Py_ssize_t> BLOCK_MOST)
    total = max(g.l, <Py_ssize_t> 1) * w.b.tiles * w.a.tiles
    count = max(<Py_ssize_t> 1, (total + usual // 2) // usual)
    w.block = (total + count - 1) // count
    # room for the block of any smaller number of images: half as long again as usual at most
    total = min(total, usual * 3 // 2)
    w.step_U = w.inner * g.d_out + SKEW
    w.step_V = total * w.inner + SKEW
    w.step_M = total * g.d_out_g + SKEW
    w.size_U = w.positions * w.step_U
    w.apart = w.size_U > APART_NUMBERS
    w.size_W = g.K * g.d_out
    w.size_V = w.positions * w.step_V
    w.size_M = w.positions * w.step_M
    w.size_work = w.b.n * w.a.n * max(w.a.phases * g.d_g, g.d_out)
    return True


cdef Py_ssize_t winograd_scratch(const Winograd *w, bint backward) noexcept nogil:
    cdef Py_ssize_t size = w.size_U + w.size_V + w.size_M + 2 * w.size_work
    # U' and dU, or one of them and W'
    if backward:
        size += w.size_W if w.apart else w.size_U
    return size


cdef Py_ssize_t winograd_blocks(const Geometry *g, const Winograd *w) noexcept nogil:
    return (g.l * w.b.tiles * w.a.tiles + w.block - 1) // w.block


# Where a tile lies: its image, its first output row and column.
cdef struct Tile:
    Py_ssize_t image, q, p


cdef inline Tile tile_at(const Winograd *w, Py_ssize_t t) noexcept nogil:
    cdef Tile tile
    cdef Py_ssize_t per_image = w.b.tiles * w.a.tiles
    tile.image = t // per_image
    t = t % per_image
    tile.q = t // w.a.tiles * w.b.m
    tile.p = t % w.a.tiles * w.a.m
    return tile


cdef inline Py_ssize_t clamp(Py_ssize_t x, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return min(max(x, low), high)


# What tile and phase see of the image: rows first, first + s_b, ... of which [lo_b, hi_b) exist;
# of the phases_a n_a neighbouring columns from `left` on [lo_a, hi_a) exist.
cdef struct View:
    Py_ssize_t first, lo_b, hi_b, left, lo_a, hi_a


cdef inline View view_of(
    const Geometry *g, const Winograd *w, Tile tile, Py_ssize_t phase
) noexcept nogil:
    cdef View view
    cdef Py_ssize_t s = g.s_b
    view.first = tile.q * s + phase - g.top
    view.left = tile.p * g.s_a - g.left
    # first + i s >= 0 <=> i >= ceil(-first / s); first + i s <= b - 1 <=> i <= (b - 1 - first) / s
    view.lo_b = 0 if view.first >= 0 else min((-view.first - 1) // s + 1, w.b.n)
    view.hi_b = 0 if view.first >= g.b else min((g.b - 1 - view.first) // s + 1, w.b.n)
    view.hi_b = max(view.hi_b, view.lo_b)
    view.lo_a = clamp(-view.left, 0, w.a.n * w.a.phases)
    view.hi_a = clamp(g.a - view.left, view.lo_a, w.a.n * w.a.phases)
    return view


# V of one tile: B'_b d B_a for each phase. IN: Z, from the group's first channel on. OUT: V, at
# the tile's first number of position 0. SCRATCH: work.
cdef inline void input_tile(
    const Geometry *g, const Winograd *w, Tile tile, const real *Z, real *V, real *work
) noexcept nogil:
    cdef Py_ssize_t phase, i, x, pixels = w.a.n * w.a.phases, d = g.d, d_g = g.d_g
    cdef Py_ssize_t row = pixels * d_g, channels = w.a.phases * d_g
    cdef real *half = work + w.size_work
    cdef const real *pixel
    cdef View view
    Z += tile.image * g.b * g.a * d
    for phase in range(w.b.phases):
        view = view_of(g, w, tile, phase)
        for i in range(w.b.n):
            zero_run(half + i * row, view.lo_a * d_g)
            zero_run(half + i * row + view.hi_a * d_g, (pixels - view.hi_a) * d_g)
        pixel = Z + (view.first * g.a + view.left + view.lo_a) * d
        if view.lo_b == 0 and view.hi_b == w.b.n and d_g == d:
            apply(w.b.input, (view.hi_a - view.lo_a) * d, pixel, g.s_b * g.a * d,
                  half + view.lo_a * d, row)
        else:
            for i in range(w.b.n):
                if i < view.lo_b or i >= view.hi_b:
                    zero_run(work + i * row, row)
                elif d_g == d:
                    copy_run(work + i * row + view.lo_a * d, pixel + i * g.s_b * g.a * d,
                             (view.hi_a - view.lo_a) * d)
                else:
                    for x in range(view.lo_a, view.hi_a):
                        copy_run(work + i * row + x * d_g,
                                 pixel + (i * g.s_b * g.a + x - view.lo_a) * d, d_g)
            apply(w.b.input, (view.hi_a - view.lo_a) * d_g, work + view.lo_a * d_g, row,
                  half + view.lo_a * d_g, row)
        for i in range(w.b.n):
            apply(w.a.input, channels, half + i * row, channels,
                  V + i * w.a.n * w.step_V + phase * channels, w.step_V)


# The adjoint of input_tile: dZ += B_b dV B'_a. INOUT: dZ. IN: dV. SCRATCH: work.
cdef inline void input_tile_adjoint(
    const Geometry *g, const Winograd *w, Tile tile, const real *dV, real *dZ, real *work
) noexcept nogil:
    cdef Py_ssize_t phase, i, x, pixels = w.a.n * w.a.phases, d = g.d, d_g = g.d_g
    cdef Py_ssize_t row = pixels * d_g, channels = w.a.phases * d_g
    cdef real *half = work + w.size_work
    cdef real *pixel
    cdef View view
    dZ += tile.image * g.b * g.a * d
    for phase in range(w.b.phases):
        view = view_of(g, w, tile, phase)
        for i in range(w.b.n):
            apply(w.a.input_adjoint, channels, dV + i * w.a.n * w.step_V + phase * channels,
                  w.step_V, half + i * row, channels)
        pixel = dZ + (view.first * g.a + view.left + view.lo_a) * d
        if view.lo_b == 0 and view.hi_b == w.b.n and d_g == d:
            apply(w.b.input_adjoint_add, (view.hi_a - view.lo_a) * d, half + view.lo_a * d, row,
                  pixel, g.s_b * g.a * d)
            continue
        apply(w.b.input_adjoint, (view.hi_a - view.lo_a) * d_g, half + view.lo_a * d_g, row,
              work + view.lo_a * d_g, row)
        for i in range(view.lo_b, view.hi_b):
            if d_g == d:
                add_run(pixel + i * g.s_b * g.a * d, work + i * row + view.lo_a * d,
                        (view.hi_a - view.lo_a) * d)
            else:
                for x in range(view.lo_a, view.hi_a):
                    add_run(pixel + (i * g.s_b * g.a + x - view.lo_a) * d,
                            work + i * row + x * d_g, d_g)


# S of one tile and group: A'_b M A_a, then bias and ReLU. IN: M, b or NULL. OUT: S. SCRATCH: work.
cdef inline void output_tile(
    const Geometry *g, const Winograd *w, Tile tile, const real *M, const real *b, bint relu,
    real *S, real *work,
) noexcept nogil:
    cdef Py_ssize_t d = g.d_out, d_g = g.d_out_g, i, x
    cdef Py_ssize_t rows = min(w.b.m, g.b_out - tile.q), columns = min(w.a.m, g.a_out - tile.p)
    cdef Py_ssize_t row = w.a.m * d_g
    cdef bint whole = rows == w.b.m and d_g == d
    cdef real *half = work + w.size_work
    cdef real *tile_row
    for i in range(w.b.n):
        apply(w.a.output, d_g, M + i * w.a.n * w.step_M, w.step_M, half + i * row, d_g)
    S += ((tile.image * g.b_out + tile.q) * g.a_out + tile.p) * d
    if whole:
        apply(w.b.output, columns * d, half, row, S, g.a_out * d)
    else:
        apply(w.b.output, columns * d_g, half, row, work, row)
    for i in range(rows):
        tile_row = S + i * g.a_out * d if whole else work + i * row
        if b != NULL or relu:
            bias_relu_rows(columns, d_g, tile_row, b, relu, tile_row)
        if not whole:
            for x in range(columns):
                copy_run(S + (i * g.a_out + x) * d, tile_row + x * d_g, d_g)


# The adjoint of output_tile: dM = A_b dS A'_a; db += dS 1. IN: dS. OUT: dM. INOUT: db or NULL.
# SCRATCH: work.
cdef inline void output_tile_adjoint(
    const Geometry *g, const Winograd *w, Tile tile, const real *dS, real *dM, real *db,
    real *work,
) noexcept nogil:
    cdef Py_ssize_t d = g.d_out, d_g = g.d_out_g, i, x
    cdef Py_ssize_t rows = min(w.b.m, g.b_out - tile.q), columns = min(w.a.m, g.a_out - tile.p)
    cdef Py_ssize_t row = w.a.m * d_g, step = g.a_out * d
    cdef real *half = work + w.size_work
    dS += ((tile.image * g.b_out + tile.q) * g.a_out + tile.p) * d
    for i in range(w.b.n):
        zero_run(half + i * row + columns * d_g, (w.a.m - columns) * d_g)
    if rows != w.b.m or d_g != d:
        for i in range(w.b.m):
            if i >= rows:
                zero_run(work + i * row, row)
                continue
            for x in range(columns):
                copy_run(work + i * row + x * d_g, dS + (i * g.a_out + x) * d, d_g)
        dS = work
        step = row
    apply(w.b.output_adjoint, columns * d_g, dS, step, half, row)
    if db != NULL:
        for i in range(rows):
            add_rows(columns, d_g, dS + i * step, db)
    for i in range(w.b.n):
        apply(w.a.output_adjoint, d_g, half + i * row, d_g, dM + i * w.a.n * w.step_M, w.step_M)


# The taps of one filter row of a phase, r_b x r_a runs of `run` numbers, zero where the phase has
# fewer. IN: W, rows `row` and columns `column` apart. OUT: taps.
cdef inline void gather_taps(
    const Geometry *g, const Winograd *w, Py_ssize_t u, Py_ssize_t v, const real *W,
    Py_ssize_t row, Py_ssize_t column, Py_ssize_t run, real *taps,
) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(w.b.r):
        for j in range(w.a.r):
            if i * g.s_b + u < g.h_b and j * g.s_a + v < g.h_a:
                copy_run(taps, W + (i * g.s_b + u) * row + (j * g.s_a + v) * column, run)
            else:
                zero_run(taps, run)
            taps += run


# U(positions, inner, d_out) = G_b g G'_a. IN: W. OUT: U. SCRATCH: work.
cdef inline void filter_transform(
    const Geometry *g, const Winograd *w, const real *W, real *U, real *work
) noexcept nogil:
    cdef Py_ssize_t f = g.d_out, j, u, v, i
    cdef real *half = work + w.size_work
    for u in range(w.b.phases):
        for v in range(w.a.phases):
            for j in range(g.d_g):
                gather_taps(g, w, u, v, W + j * g.h_b * g.h_a * f, g.h_a * f, f, f, work)
                apply(w.b.filter, w.a.r * f, work, w.a.r * f, half, w.a.r * f)
                for i in range(w.b.n):
                    apply(w.a.filter, f, half + i * w.a.r * f, f,
                          U + i * w.a.n * w.step_U, w.step_U)
                U += f


# dW = G'_b dU G_a, the adjoint of filter_transform. IN: dU. OUT: dW. SCRATCH: work.
cdef inline void filter_transform_adjoint(
    const Geometry *g, const Winograd *w, const real *dU, real *dW, real *work
) noexcept nogil:
    cdef Py_ssize_t f = g.d_out, j, u, v, i, k
    cdef real *half = work + w.size_work
    for u in range(w.b.phases):
        for v in range(w.a.phases):
            for j in range(g.d_g):
                for i in range(w.b.n):
                    apply(w.a.filter_adjoint, f, dU + i * w.a.n * w.step_U, w.step_U,
                          half + i * w.a.r * f, f)
                apply(w.b.filter_adjoint, w.a.r * f, half, w.a.r * f, work, w.a.r * f)
                for i in range(w.b.r):
                    for k in range(w.a.r):
                        if i * g.s_b + u < g.h_b and k * g.s_a + v < g.h_a:
                            copy_run(
                                dW + ((j * g.h_b + i * g.s_b + u) * g.h_a + k * g.s_a + v) * f,
                                work + (i * w.a.r + k) * f, f,
                            )
                dU += f


# U'(positions, d_out, inner): the same numbers as U, each U_k transposed, so that the product
# for dV is one of plain matrices, which dgemm does faster. IN: W. OUT: Ut.
# SCRATCH: work, and K d_out numbers for W in the order (h_b, h_a, d_out, d_g).
cdef inline void filter_transform_turned(
    const Geometry *g, const Winograd *w, const real *W, real *Ut, real *work, real *turned
) noexcept nogil:
    cdef Py_ssize_t f, u, v, i, pixel, hh = g.h_b * g.h_a, d_g = g.d_g
    cdef real *half = work + w.size_work
    for pixel in range(hh):
        transpose(d_g, g.d_out, W + pixel * g.d_out, hh * g.d_out,
                  turned + pixel * g.d_out * d_g)
    for f in range(g.d_out):
        for u in range(w.b.phases):
            for v in range(w.a.phases):
                gather_taps(g, w, u, v, turned + f * d_g, g.h_a * g.d_out * d_g, g.d_out * d_g,
                            d_g, work)
                apply(w.b.filter, w.a.r * d_g, work, w.a.r * d_g, half, w.a.r * d_g)
                for i in range(w.b.n):
                    apply(w.a.filter, d_g, half + i * w.a.r * d_g, d_g,
                          Ut + i * w.a.n * w.step_U, w.step_U)
                Ut += d_g


cdef void winograd_forward(
    const Geometry *g, const Winograd *w, const real *Z, const real *W, const real *b, bint relu,
    real *S, Py_ssize_t first, Py_ssize_t last, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t t0 = first * w.block, stop = min(last * w.block, g.l * w.b.tiles * w.a.tiles)
    cdef Py_ssize_t n, t, k, group, f = g.d_out_g
    cdef real *U = scratch
    cdef real *V = U + w.size_U
    cdef real *M = V + w.size_V
    cdef real *work = M + w.size_M
    cdef const real *b_group = NULL
    if t0 < stop:
        filter_transform(g, w, W, U, work)
    while t0 < stop:
        n = min(w.block, stop - t0)
        for group in range(g.groups):
            for t in range(n):
                input_tile(g, w, tile_at(w, t0 + t), Z + group * g.d_g, V + t * w.inner, work)
            for k in range(w.positions):
                # M_k(d_out_g, n) = U_k(d_out_g, d') V_k(d', n)
                product(c'N', f, n, w.inner, U + k * w.step_U + group * f, g.d_out,
                        V + k * w.step_V, w.inner, False, M + k * w.step_M, f)
            if b != NULL:
                b_group = b + group * f
            for t in range(n):
                output_tile(
                    g, w, tile_at(w, t0 + t), M + t * f, b_group, relu, S + group * f, work
                )
        t0 += n


# The blocks of the backward pass: dU, db and dZ, each or NULL. IN: dS, Z, Ut. OUT: dU.
# INOUT: dZ and db, added to. SCRATCH: V, dM, work.
cdef void backward_blocks(
    const Geometry *g, const Winograd *w, const real *dS, const real *Z, const real *Ut,
    real *dZ, real *dU, real *db, real *V, real *dM, real *work,
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
                    product(c'T', f, w.inner, n, dM + k * w.step_M, f, V + k * w.step_V, w.inner,
                            t0 != 0, dU + k * w.step_U + group * f, g.d_out)
            if dZ != NULL:
                for k in range(w.positions):
                    # dV_k(d', n) = U_k(d_out_g, d')' dM_k(d_out_g, n)
                    product(c'N', w.inner, n, f, Ut + k * w.step_U + group * f * w.inner, w.inner,
                            dM + k * w.step_M, f, False, V + k * w.step_V, w.inner)
                for t in range(n):
                    input_tile_adjoint(
                        g, w, tile_at(w, t0 + t), V + t * w.inner, dZ + group * g.d_g, work
                    )
        t0 += n


cdef void winograd_backward(
    const Geometry *g, const Winograd *w, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch,
) noexcept nogil:
    cdef real *first = scratch
    cdef real *second = first + w.size_U
    cdef real *V = second + (w.size_W if w.apart else w.size_U)
    cdef real *dM = V + w.size_V
    cdef real *work = dM + w.size_M
    cdef real *dU = NULL
    if db != NULL:
        memset(db, 0, g.d_out * sizeof(real))
    if dW != NULL:
        dU = first if w.apart else second
    if dZ != NULL:
        memset(dZ, 0, g.l * g.b * g.a * g.d * sizeof(real))
    if g.l == 0:
        if dW != NULL:
            memset(dW, 0, g.K * g.d_out * sizeof(real))
        return
    if w.apart and (dW != NULL or dZ == NULL):
        backward_blocks(g, w, dS, Z, first, <real *> NULL, dU, db, V, dM, work)
        if dW != NULL:
            filter_transform_adjoint(g, w, dU, dW, work)
        dU = NULL
        db = NULL
    if dZ != NULL:
        filter_transform_turned(g, w, W, first, work, second)
    if dZ != NULL or dU != NULL or db != NULL:
        backward_blocks(g, w, dS, Z, first, dZ, dU, db, V, dM, work)
    if dU != NULL:
        filter_transform_adjoint(g, w, dU, dW, work)
