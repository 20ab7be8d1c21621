"""The transforms of a tile, A, B and their adjoints, with the borders of the image.

Tiles are counted through all images. Padding, and rows and columns of a tile outside of the image,
are zeros in the scratch, not read from memory.
"""

from ._activation cimport Activation
from ._bias_relu cimport add_rows, bias_activation_rows
from ._finite cimport all_finite
from ._geometry cimport Geometry
from ._tile cimport add_run, copy_run, zero_run
from ._transforms cimport apply
from ._types cimport real
from ._winograd cimport Winograd


# The position of a tile: its image, its first output row and column.
cdef struct Tile:
    Py_ssize_t image, q, p


# The position of tile t.
cdef inline Tile tile_at(const Winograd *w, Py_ssize_t t) noexcept nogil:
    cdef Tile tile
    cdef Py_ssize_t per_image = w.b.tiles * w.a.tiles
    tile.image = t // per_image
    t = t % per_image
    tile.q = t // w.a.tiles * w.b.m
    tile.p = t % w.a.tiles * w.a.m
    return tile


# x, limited to the range from low to high.
cdef inline Py_ssize_t clamp(Py_ssize_t x, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return min(max(x, low), high)


# The inputs of a tile and a phase: rows first + i s_b, in the image for lo_b <= i < hi_b, and
# phases_a n_a adjacent columns left + x, in the image for lo_a <= x < hi_a.
cdef struct View:
    Py_ssize_t first, lo_b, hi_b, left, lo_a, hi_a


# The inputs of a tile in a phase of rows.
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


# V = B'_b d B_a of a tile, for each phase. IN: Z, from the group's first channel on. OUT: V, from
# the tile's first element of position 0 on. SCRATCH: work.
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


# S = sigma(A'_b M A_a + b 1') of a tile and a group. IN: M, b or NULL, activation or NULL. OUT: S.
# INOUT: finite or NULL; set to false if A'_b M A_a + b 1' has a NaN or an infinity, which sigma may
# hide. SCRATCH: work.
cdef inline void output_tile(
    const Geometry *g, const Winograd *w, Tile tile, const real *M, const real *b,
    const Activation *activation, real *S, bint *finite, real *work,
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
        if finite != NULL:
            bias_activation_rows(columns, d_g, tile_row, b, NULL, tile_row)
            finite[0] = finite[0] and all_finite(columns * d_g, tile_row)
            if activation != NULL:
                bias_activation_rows(
                    columns, d_g, tile_row, <real *> NULL, activation, tile_row
                )
        elif b != NULL or activation != NULL:
            bias_activation_rows(columns, d_g, tile_row, b, activation, tile_row)
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
