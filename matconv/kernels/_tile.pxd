"""Tiles of phi, and W in the same order.

A tile is phi at output positions t0 to t0 + n - 1, counted through all images: a column-major
matrix (K, n) with K = h_b h_a d_g. Its rows are in the order (q, p, channel), slowest first, not
(channel, q, p) as in the notes, so that a column consists of h_b runs of h_a d_g contiguous
elements of the image. `permute_filters` converts W to the same order.
"""

from libc.string cimport memcpy, memset

from ._geometry cimport Geometry
from ._types cimport real

# up to this number of elements a loop is faster than a call of memcpy
cdef enum:
    SHORT_RUN = 32


# target(n) = source. IN: source. OUT: target.
cdef inline void copy_run(real *target, const real *source, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k
    if n > SHORT_RUN:
        memcpy(target, source, n * sizeof(real))
    else:
        for k in range(n):
            target[k] = source[k]


# target(n) = 0. OUT: target.
cdef inline void zero_run(real *target, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k
    if n > SHORT_RUN:
        memset(target, 0, n * sizeof(real))
    else:
        for k in range(n):
            target[k] = 0


# target(n) += source. IN: source. INOUT: target.
cdef inline void add_run(real *target, const real *source, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        target[k] += source[k]


# OUT: lo, hi. The filter columns v with 0 <= left + v dil < a are lo <= v < hi, 0 <= lo <= hi <= h:
#   left + v dil >= 0      <=>  v >= ceil(-left / dil)
#   left + v dil <= a - 1  <=>  v <= floor((a - 1 - left) / dil)
cdef inline void inside(
    Py_ssize_t left, Py_ssize_t dil, Py_ssize_t a, Py_ssize_t h, Py_ssize_t *lo, Py_ssize_t *hi
) noexcept nogil:
    lo[0] = 0
    hi[0] = 0
    if left < 0:
        lo[0] = min(h, (-left - 1) // dil + 1)
    if left < a:
        hi[0] = min(h, (a - 1 - left) // dil + 1)


# A column of phi: the sub-image of one group whose first pixel is (y0, x0), where filter columns lo
# to hi - 1 are in the image. IN: Z, the image, from the group's first channel on. OUT: column (K,).
cdef inline void gather_column(
    const Geometry *g, Py_ssize_t y0, Py_ssize_t x0, Py_ssize_t lo, Py_ssize_t hi,
    const real *Z, real *column,
) noexcept nogil:
    cdef Py_ssize_t u, v, y
    cdef Py_ssize_t d = g.d, d_g = g.d_g
    cdef const real *pixel
    for u in range(g.h_b):
        y = y0 + u * g.dil_b
        if y < 0 or y >= g.b or lo == hi:
            zero_run(column, g.h_a * d_g)
        else:
            pixel = Z + (y * g.a + x0 + lo * g.dil_a) * d
            zero_run(column, lo * d_g)
            if g.dil_a == 1 and d_g == d:
                copy_run(column + lo * d, pixel, (hi - lo) * d)
            else:
                for v in range(lo, hi):
                    copy_run(column + v * d_g, pixel + (v - lo) * g.dil_a * d, d_g)
            zero_run(column + hi * d_g, (g.h_a - hi) * d_g)
        column += g.h_a * d_g


# The adjoint of gather_column: adds a column to the pixels that it is gathered from.
# INOUT: Z, the image, from the group's first channel on. IN: column (K,).
cdef inline void scatter_column(
    const Geometry *g, Py_ssize_t y0, Py_ssize_t x0, Py_ssize_t lo, Py_ssize_t hi,
    real *Z, const real *column,
) noexcept nogil:
    cdef Py_ssize_t u, v, y
    cdef Py_ssize_t d = g.d, d_g = g.d_g
    cdef real *pixel
    for u in range(g.h_b):
        y = y0 + u * g.dil_b
        if 0 <= y < g.b and lo < hi:
            pixel = Z + (y * g.a + x0 + lo * g.dil_a) * d
            if g.dil_a == 1 and d_g == d:
                add_run(pixel, column + lo * d, (hi - lo) * d)
            else:
                for v in range(lo, hi):
                    add_run(pixel + (v - lo) * g.dil_a * d, column + v * d_g, d_g)
        column += g.h_a * d_g


# phi(Z) of one group at positions t0 to t0 + n - 1.
# IN: Z (l, b, a, d), from the group's first channel on. OUT: phi (n, K).
cdef inline void gather_tile(
    const Geometry *g, Py_ssize_t t0, Py_ssize_t n, const real *Z, real *phi
) noexcept nogil:
    cdef Py_ssize_t plane = g.b_out * g.a_out
    cdef Py_ssize_t q = t0 % plane // g.a_out, p = t0 % g.a_out
    cdef Py_ssize_t t, x0, lo = 0, hi = 0
    Z += t0 // plane * g.b * g.a * g.d
    for t in range(n):
        x0 = p * g.s_a - g.left
        inside(x0, g.dil_a, g.a, g.h_a, &lo, &hi)
        gather_column(g, q * g.s_b - g.top, x0, lo, hi, Z, phi + t * g.K)
        p += 1
        if p == g.a_out:
            p = 0
            q += 1
            if q == g.b_out:
                q = 0
                Z += g.b * g.a * g.d


# The adjoint of gather_tile. INOUT: Z (l, b, a, d), added to. IN: phi (n, K).
cdef inline void scatter_tile(
    const Geometry *g, Py_ssize_t t0, Py_ssize_t n, real *Z, const real *phi
) noexcept nogil:
    cdef Py_ssize_t plane = g.b_out * g.a_out
    cdef Py_ssize_t q = t0 % plane // g.a_out, p = t0 % g.a_out
    cdef Py_ssize_t t, x0, lo = 0, hi = 0
    Z += t0 // plane * g.b * g.a * g.d
    for t in range(n):
        x0 = p * g.s_a - g.left
        inside(x0, g.dil_a, g.a, g.h_a, &lo, &hi)
        scatter_column(g, q * g.s_b - g.top, x0, lo, hi, Z, phi + t * g.K)
        p += 1
        if p == g.a_out:
            p = 0
            q += 1
            if q == g.b_out:
                q = 0
                Z += g.b * g.a * g.d


# A tile transposed, so that with few channels its contiguous runs are as long as rows of the
# output. IN: Z (l, b, a, d), from the group's first channel on. OUT: phi_t (K, n). If adjoint,
# phi_t is added to the pixels that it is gathered from: IN: phi_t. INOUT: Z.
cdef inline void transposed_tile(
    const Geometry *g, Py_ssize_t t0, Py_ssize_t n, real *Z, real *phi_t, bint adjoint
) noexcept nogil:
    cdef Py_ssize_t plane = g.b_out * g.a_out, image = g.b * g.a * g.d, step = g.s_a * g.d
    cdef Py_ssize_t q, p, y, t = 0, u, v, c, run, first, lo, hi, k
    cdef bint is_row
    cdef real *row
    cdef real *target
    while t < n:
        # the positions of the tile in one row of the output: p to p + run - 1
        q = (t0 + t) % plane // g.a_out
        p = (t0 + t) % g.a_out
        run = min(g.a_out - p, n - t)
        for u in range(g.h_b):
            y = q * g.s_b - g.top + u * g.dil_b
            is_row = 0 <= y < g.b
            row = Z + (t0 + t) // plane * image + (y * g.a * g.d if is_row else 0)
            for v in range(g.h_a):
                # those in the image, 0 <= first + k s < a, are lo <= k < hi
                first = p * g.s_a - g.left + v * g.dil_a
                lo = 0 if first >= 0 else min((-first - 1) // g.s_a + 1, run)
                hi = 0 if first >= g.a else min((g.a - 1 - first) // g.s_a + 1, run)
                if not is_row or hi < lo:
                    lo = hi = 0
                for c in range(g.d_g):
                    target = phi_t + ((u * g.h_a + v) * g.d_g + c) * n + t
                    if adjoint:
                        for k in range(lo, hi):
                            row[first * g.d + c + k * step] += target[k]
                        continue
                    zero_run(target, lo)
                    if step == 1 and lo < hi:
                        copy_run(target + lo, row + first + lo, hi - lo)
                    else:
                        for k in range(lo, hi):
                            target[k] = row[first * g.d + c + k * step]
                    zero_run(target + hi, run - hi)
        t += run


# Whether W is in the order of a tile already: one channel, or one pixel.
cdef inline bint filters_in_tile_order(const Geometry *g) noexcept nogil:
    return g.d_g == 1 or g.h_b * g.h_a == 1


# Permute W, (d_g, h_b, h_a, d_out), to the order of a tile. IN: W. OUT: W_tile (h_b, h_a, d_g,
# d_out).
cdef inline void permute_filters(
    const Geometry *g, const real *W, real *W_tile
) noexcept nogil:
    cdef Py_ssize_t j, hh = g.h_b * g.h_a, pixel
    for pixel in range(hh):
        for j in range(g.d_g):
            copy_run(W_tile, W + (j * hh + pixel) * g.d_out, g.d_out)
            W_tile += g.d_out


# The inverse of permute_filters. IN: W_tile. OUT: W.
cdef inline void unpermute_filters(
    const Geometry *g, const real *W_tile, real *W
) noexcept nogil:
    cdef Py_ssize_t j, hh = g.h_b * g.h_a, pixel
    for pixel in range(hh):
        for j in range(g.d_g):
            copy_run(W + (j * hh + pixel) * g.d_out, W_tile, g.d_out)
            W_tile += g.d_out


# B(columns, rows) = A(rows, columns)', with rows row_A and row_B apart, in blocks of 16 x 16 that
# stay in cache. IN: A. OUT: B.
cdef inline void transpose(
    Py_ssize_t rows, Py_ssize_t columns, const real *A, Py_ssize_t row_A, real *B,
    Py_ssize_t row_B,
) noexcept nogil:
    cdef Py_ssize_t i0, j0, i, j
    for i0 in range(0, rows, 16):
        for j0 in range(0, columns, 16):
            for j in range(j0, min(j0 + 16, columns)):
                for i in range(i0, min(i0 + 16, rows)):
                    B[j * row_B + i] = A[i * row_A + j]
