"""Convolution with few channels per group, by loops over taps instead of products of matrices.

All passes are sums over taps of products with blocks of lanes, neighbouring channels of the output:

    S(pixel, lanes) += W(j, u, v, lanes) Z(pixel + (u, v), source + j)

`source` is the lane itself if each group has one input and one output channel; then the elements of
Z are vectors too: see `_direct_depthwise`. Otherwise a block is in one group, and one element of Z
is multiplied by all of its lanes. Pixels of a row with the same taps in the image form a run. The
gradient for Z is such a sum as well, over the taps whose distance from the pixel the stride
divides: pixels of a row whose columns are congruent modulo the stride have the same taps.
"""

from libc.string cimport memset

from ._activation cimport ACTIVATION_NONE, Activation
from ._bias_relu cimport bias_activation_rows
from ._direct_depthwise cimport depthwise_rows
from ._direct_taps cimport Taps, Way, row_taps, rows_length, run_length, set_way
from ._geometry cimport Geometry
from ._tile cimport add_run, copy_run
from ._types cimport real

cdef extern from "_conv_direct_blocks.h" nogil:
    ctypedef struct Axes "matconv_axes":
        Py_ssize_t[3] n, Z, W
    ctypedef struct Pixels "matconv_pixels":
        Py_ssize_t[2] n, S, Z
    ctypedef void (*OutputsF64 "matconv_outputs_f64")(
        Py_ssize_t, double *, Py_ssize_t, const double *, Py_ssize_t, const double *,
        const Axes *, const double *, int) noexcept
    ctypedef void (*OutputsF32 "matconv_outputs_f32")(
        Py_ssize_t, float *, Py_ssize_t, const float *, Py_ssize_t, const float *,
        const Axes *, const float *, int) noexcept
    ctypedef void (*FiltersF64 "matconv_filters_f64")(
        const Pixels *, const double *, const double *, const Py_ssize_t *, const Py_ssize_t *,
        const Py_ssize_t *, double *) noexcept
    ctypedef void (*FiltersF32 "matconv_filters_f32")(
        const Pixels *, const float *, const float *, const Py_ssize_t *, const Py_ssize_t *,
        const Py_ssize_t *, float *) noexcept
    OutputsF64[4] outputs_f64 "matconv_outputs_table_f64"
    OutputsF32[4] outputs_f32 "matconv_outputs_table_f32"
    FiltersF64[2][3] filters_f64 "matconv_filters_table_f64"
    FiltersF32[2][3] filters_f32 "matconv_filters_table_f32"

cdef enum:
    # maximum channels of a group, of the input and of the output; fewer without a stride, where
    # Winograd's algorithm is faster
    MAX_CHANNELS = 16
    MAX_CHANNELS_UNSTRIDED = 8
    # pixels of a part of a run, so that what they read stays in cache; lanes of 64 bytes
    MAX_PIXELS = 24
    MAX_LANES = 16
    # shorter runs are extended down instead of to the right
    WIDE = 4
    # pixels of a sum for dW, so that what it reads stays in cache
    SUM_PIXELS = 128


# A block of lanes: index in the tables, first lane, and those that are kept.
cdef struct Block:
    int code
    Py_ssize_t first, lanes, skipped, kept


cdef bint direct_pays(const Geometry *g) noexcept nogil:
    cdef Py_ssize_t maximum = MAX_CHANNELS_UNSTRIDED
    if g.s_b > 1 or g.s_a > 1:
        maximum = MAX_CHANNELS
    return g.groups > 1 and g.d_g <= maximum and g.d_out_g <= maximum


# The block of lanes from `first` on, of `d` in groups of `d_g`, with `maximum` bytes or less: the
# whole vectors that remain, or, in the last block of a group, a vector of which some lanes are
# dropped. It reads nothing after the last lane, since it begins earlier in the last group.
cdef inline void block_of(
    Py_ssize_t first, Py_ssize_t d, Py_ssize_t d_g, bint by_vector, Py_ssize_t item,
    Py_ssize_t maximum, Block *block,
) noexcept nogil:
    cdef Py_ssize_t left = d - first if by_vector else d_g - first % d_g
    cdef Py_ssize_t size = maximum
    block.code = 0
    block.lanes = 1
    if left > 1:
        while size > 16 and (size > left * item if by_vector else size // 2 >= left * item):
            size //= 2
        if not by_vector or size <= left * item:
            block.code = 1 if size == 16 else 2 if size == 32 else 3
            block.lanes = size // item
    block.kept = min(left, block.lanes)
    block.first = min(first, d - block.lanes)
    block.skipped = first - block.first


# The sums of one run of pixels and one block. IN: Z, W, b. OUT: S.
cdef inline void run_block(
    const Block *block, Py_ssize_t n, real *S, Py_ssize_t step_S, const real *Z,
    Py_ssize_t step_Z, const real *W, const Axes *axes, const real *b, bint add,
) noexcept nogil:
    if real is double:
        outputs_f64[block.code](n, S, step_S, Z, step_Z, W, axes, b, add)
    else:
        outputs_f32[block.code](n, S, step_S, Z, step_Z, W, axes, b, add)


# All channels of a run of n pixels, not more than MAX_PIXELS. IN: Z, at the first tap of the first
# pixel; W, at the first tap; b or NULL. OUT: S, at the first pixel.
cdef void run_pixels(
    const Way *way, Py_ssize_t n, real *S, Py_ssize_t step_S, const real *Z, Py_ssize_t step_Z,
    const real *W, const Axes *axes, const real *b, bint add,
) noexcept nogil:
    cdef real[MAX_PIXELS * MAX_LANES] sums
    cdef Py_ssize_t c = 0, p
    cdef const real *bias = NULL
    cdef Block block
    while c < way.d:
        block_of(c, way.d, way.d_g, False, sizeof(real), 64, &block)
        if b != NULL:
            bias = b + block.first
        if block.kept == block.lanes:
            run_block(
                &block, n, S + c, step_S, Z + c // way.d_g * way.d_g_in, step_Z, W + c, axes,
                bias, add,
            )
        else:
            run_block(
                &block, n, sums, block.lanes, Z + c // way.d_g * way.d_g_in, step_Z,
                W + block.first, axes, bias, False,
            )
            for p in range(n):
                if add:
                    add_run(
                        S + p * step_S + c, sums + p * block.lanes + block.skipped, block.kept
                    )
                else:
                    copy_run(
                        S + p * step_S + c, sums + p * block.lanes + block.skipped, block.kept
                    )
        c += block.kept


# The result at pixels with the same taps: n of them from (row, x) on, in a row or, if down, in a
# column, `step` apart. IN: Z, W, b or NULL, activation. OUT: S.
cdef void run_result(
    const Way *way, Py_ssize_t row, Py_ssize_t x, Py_ssize_t step, Py_ssize_t n, bint down,
    const Taps *rows, const Taps *columns, const real *Z, const real *W, const real *b,
    const Activation *activation, bint add, real *S,
) noexcept nogil:
    cdef const Geometry *g = way.g
    cdef Py_ssize_t p = 0, part, k, width = g.h_a * way.d
    cdef Py_ssize_t step_S = 0, step_Z = 0
    cdef Axes axes
    # steps are in the image if there are two pixels with taps, or two taps; others may overflow
    if n > 1:
        step_S = step * way.d * (way.a if down else 1)
    if n > 1 and rows.n > 0 and columns.n > 0:
        step_Z = way.d_in * (way.a_in if down else 1)
        if not way.backward:
            step_Z *= g.s_b if down else g.s_a
    axes.n[0], axes.n[1] = rows.n, columns.n
    axes.Z[0] = rows.step_at * way.a_in * way.d_in if rows.n > 1 else 0
    axes.W[0] = rows.step * width if rows.n > 1 else 0
    axes.Z[1] = columns.step_at * way.d_in if columns.n > 1 else 0
    axes.W[1] = columns.step * way.d if columns.n > 1 else 0
    axes.n[2], axes.Z[2], axes.W[2] = way.d_g_in, 1, g.h_b * width
    if rows.n > 0 and columns.n > 0:
        Z += ((row // way.b * way.b_in + rows.at) * way.a_in + columns.at) * way.d_in
        W += rows.first * width + columns.first * way.d
    S += (row * way.a + x) * way.d
    while p < n:
        part = min(n - p, <Py_ssize_t> MAX_PIXELS)
        run_pixels(
            way, part, S + p * step_S, step_S, Z + p * step_Z, step_Z, W, &axes, b, add
        )
        if activation != NULL and activation.code != ACTIVATION_NONE:
            for k in range(p, p + part):
                bias_activation_rows(
                    1, way.d, S + k * step_S, <const real *> NULL, activation, S + k * step_S
                )
        p += MAX_PIXELS


# The rows `first` to `last` - 1 of the result at all columns.
cdef void all_runs(
    const Way *way, const real *Z, const real *W, const real *b, const Activation *activation,
    bint add, real *S, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # a longer step leads out of the image
    cdef Py_ssize_t right = min(way.g.s_a, way.a) if way.backward else 1
    cdef Py_ssize_t down = min(way.g.s_b, way.b) if way.backward else 1
    cdef Py_ssize_t start, x, n, row, k, m
    cdef Taps columns, rows
    if way.by_vector:
        depthwise_rows(way, Z, W, b, activation, add, S, first, last)
        return
    for start in range(min(right, way.a)):
        x = start
        while x < way.a:
            n = run_length(way, x, right, way.a, &columns)
            if n >= WIDE:
                for row in range(first, last):
                    row_taps(way, row % way.b, &rows)
                    run_result(
                        way, row, x, right, n, False, &rows, &columns, Z, W, b, activation, add, S
                    )
            for k in range(n if n < WIDE else 0):
                for m in range(down):
                    column_result(
                        way, x + k * right, down, m, &columns, Z, W, b, activation, add, S, first,
                        last,
                    )
                if k + 1 < n:
                    columns.at += 1 if way.backward else way.g.s_a
            x += n * right


# The result in column x, for rows from `first` to `last` - 1 whose number in their image is
# congruent to `rest` modulo `step`.
cdef void column_result(
    const Way *way, Py_ssize_t x, Py_ssize_t step, Py_ssize_t rest, const Taps *columns,
    const real *Z, const real *W, const real *b, const Activation *activation, bint add, real *S,
    Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t row, end, n, at
    cdef Taps rows
    while first < last:
        # the rows of one image
        end = min(last, (first // way.b + 1) * way.b)
        at = first % way.b % step
        row = first + (rest - at if rest >= at else rest - at + step)
        while row < end:
            n = rows_length(way, row, step, end, &rows)
            run_result(
                way, row, x, step, n, True, &rows, columns, Z, W, b, activation, add, S
            )
            row += n * step
        first = end


cdef void direct_forward(
    const Geometry *g, const real *Z, const real *W, const real *b, const Activation *activation,
    real *S, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    cdef Way way
    set_way(g, False, &way)
    all_runs(&way, Z, W, b, activation, False, S, first, last)


cdef void direct_prepare_backward(
    const Geometry *g, const real *W, real *Wt, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    cdef Py_ssize_t hh = g.h_b * g.h_a, tap, j, o, k, c
    for j in range(g.d_g):
        for tap in range(hh):
            for o in range(first, last):
                # filter k of group c // d_g, of whose channels this is number j
                k = o % g.d_out_g
                c = o // g.d_out_g * g.d_g + j
                Wt[(k * hh + tap) * g.d + c] = W[(j * hh + tap) * g.d_out + o]


cdef void direct_images(
    const Geometry *g, const real *dS, const real *Wt, bint add, real *dZ
) noexcept nogil:
    cdef Way way
    set_way(g, True, &way)
    all_runs(&way, dS, Wt, <const real *> NULL, NULL, add, dZ, 0, g.l * g.b)


# dW += dS phi(Z)' for the taps of a rectangle of pixels and all channels. IN: dS, at the first
# pixel; Z, at the first tap. INOUT: dW, at the first tap.
cdef void run_filters(
    const Way *way, const Pixels *pixels, const real *dS, const real *Z, const Axes *axes,
    real *dW,
) noexcept nogil:
    cdef const Geometry *g = way.g
    cdef Py_ssize_t c = 0, u, tap_rows = 1 if way.by_vector else axes.n[0]
    cdef const real *Z_block
    cdef Block block
    # taps (u, v) of a depthwise convolution, otherwise (v, channel) for each u
    cdef int at = 0 if way.by_vector else 1
    while c < g.d_out:
        block_of(c, g.d_out, g.d_out_g, way.by_vector, sizeof(real), 32, &block)
        Z_block = Z + (c if way.by_vector else c // g.d_out_g * g.d_g)
        for u in range(tap_rows):
            if block.kept == block.lanes:
                grid(
                    &block, way.by_vector, pixels, dS + c, Z_block + u * axes.Z[0],
                    &axes.n[at], &axes.Z[at], &axes.W[at], dW + c + u * axes.W[0],
                )
            else:
                grid_part(
                    &block, pixels, dS + block.first, Z_block + u * axes.Z[0], &axes.n[at],
                    &axes.Z[at], &axes.W[at], dW + c + u * axes.W[0],
                )
        c += block.kept


# dW += for a grid of taps and one block of lanes.
cdef inline void grid(
    const Block *block, bint by_vector, const Pixels *pixels, const real *dS, const real *Z,
    const Py_ssize_t *counts, const Py_ssize_t *taps_Z, const Py_ssize_t *taps_W, real *dW,
) noexcept nogil:
    if real is double:
        filters_f64[by_vector][block.code](pixels, dS, Z, counts, taps_Z, taps_W, dW)
    else:
        filters_f32[by_vector][block.code](pixels, dS, Z, counts, taps_Z, taps_W, dW)


# As `grid`, for a block of which some lanes are dropped, and not more than MAX_CHANNELS columns of
# taps.
cdef void grid_part(
    const Block *block, const Pixels *pixels, const real *dS, const real *Z,
    const Py_ssize_t *counts, const Py_ssize_t *taps_Z, const Py_ssize_t *taps_W, real *dW,
) noexcept nogil:
    cdef real[3 * MAX_CHANNELS * MAX_LANES] sums
    cdef Py_ssize_t[2] part, sums_W
    cdef Py_ssize_t v = 0, i, j
    sums_W[0], sums_W[1] = counts[1] * block.lanes, block.lanes
    while v < counts[0]:
        part[0], part[1] = min(counts[0] - v, <Py_ssize_t> 3), counts[1]
        memset(sums, 0, part[0] * sums_W[0] * sizeof(real))
        grid(block, False, pixels, dS, Z + v * taps_Z[0], part, taps_Z, sums_W, sums)
        for i in range(part[0]):
            for j in range(part[1]):
                add_run(
                    dW + (v + i) * taps_W[0] + j * taps_W[1],
                    sums + i * sums_W[0] + j * sums_W[1] + block.skipped, block.kept,
                )
        v += 3


cdef void direct_filters(
    const Geometry *g, const real *dS, const real *Z, bint add, real *dW
) noexcept nogil:
    cdef Py_ssize_t x = 0, n, m, row, width = g.h_a * g.d_out
    cdef Axes axes
    cdef Pixels pixels
    cdef Taps columns, rows
    cdef Way way
    set_way(g, False, &way)
    if not add:
        memset(dW, 0, g.K * g.d_out * sizeof(real))
    # a longer step is that of a single tap or pixel, and is not used
    axes.Z[0], axes.W[0] = min(g.dil_b, g.b) * g.a * g.d, width
    axes.Z[1], axes.W[1] = min(g.dil_a, g.a) * g.d, g.d_out
    axes.n[2], axes.Z[2], axes.W[2] = g.d_g, 1, g.h_b * width
    pixels.S[0], pixels.Z[0] = g.a_out * g.d_out, min(g.s_b, g.b) * g.a * g.d
    pixels.S[1], pixels.Z[1] = g.d_out, min(g.s_a, g.a) * g.d
    while x < g.a_out:
        n = run_length(&way, x, 1, g.a_out, &columns)
        axes.n[1], pixels.n[1] = columns.n, n
        row = 0
        while row < g.l * g.b_out and columns.n > 0:
            m = rows_length(&way, row, 1, row + max(SUM_PIXELS // n, <Py_ssize_t> 1), &rows)
            axes.n[0], pixels.n[0] = rows.n, m
            if rows.n > 0:
                run_filters(
                    &way, &pixels, dS + (row * g.a_out + x) * g.d_out,
                    Z + ((row // g.b_out * g.b + rows.at) * g.a + columns.at) * g.d, &axes,
                    dW + rows.first * width + columns.first * g.d_out,
                )
            row += m
        x += n
