"""The taps of a direct loop: which filter rows and columns a pixel of the result needs.

A sum over taps is S of Z, or dZ of dS. Taps are in the order in which the source is stored, in both
directions.
"""

from ._geometry cimport Geometry
from ._tile cimport inside


# The taps of a pixel along one axis: their number, the first one and their distance; the place of
# the first one in the source, and the distance of the places.
cdef struct Taps:
    Py_ssize_t n, first, step, at, step_at


# A sum over taps that is a function of whole images: S of Z, or dZ of dS. Shapes (height, width,
# channels) of the result and of the source, and channels per group.
cdef struct Way:
    const Geometry *g
    bint backward
    Py_ssize_t b, a, d, d_g
    Py_ssize_t b_in, a_in, d_in, d_g_in
    bint by_vector          # one channel per group in both


# Columns x, x + step, ... of the result with the same taps: the first one and their number.
cdef struct Run:
    Py_ssize_t x, n
    Taps taps


# OUT: way.
cdef inline void set_way(const Geometry *g, bint backward, Way *way) noexcept nogil:
    way.g = g
    way.backward = backward
    way.by_vector = g.d_g == 1 and g.d_out_g == 1
    way.b, way.a, way.d, way.d_g = g.b_out, g.a_out, g.d_out, g.d_out_g
    way.b_in, way.a_in, way.d_in, way.d_g_in = g.b, g.a, g.d, g.d_g
    if backward:
        way.b, way.a, way.d, way.d_g = g.b, g.a, g.d, g.d_g
        way.b_in, way.a_in, way.d_in, way.d_g_in = g.b_out, g.a_out, g.d_out, g.d_out_g


# The taps of output k: its inputs are k s - pad + v dil, 0 <= v < h, of n.
cdef inline void taps_of(
    Py_ssize_t k, Py_ssize_t s, Py_ssize_t pad, Py_ssize_t dil, Py_ssize_t n, Py_ssize_t h,
    Taps *taps,
) noexcept nogil:
    cdef Py_ssize_t last = 0
    inside(k * s - pad, dil, n, h, &taps.first, &last)
    taps.n = last - taps.first
    taps.step = 1
    taps.at = k * s - pad + (taps.first * dil if taps.n > 0 else 0)
    taps.step_at = dil


# The taps that lead from pixel k to an output: (k + pad - v dil) / s is an integer from 0 to n - 1.
# They descend, so that the outputs ascend.
cdef inline void taps_to(
    Py_ssize_t k, Py_ssize_t s, Py_ssize_t pad, Py_ssize_t dil, Py_ssize_t n, Py_ssize_t h,
    Taps *taps,
) noexcept nogil:
    cdef Py_ssize_t v = 0, x = k + pad, last, end, step = 1
    taps.n = taps.first = taps.at = 0
    # the distance of taps, s / gcd(s, dil); from h on there is at most one tap
    while step < h and step * dil % s != 0:
        step += 1
    taps.step = -step
    taps.step_at = step * dil // s if step < h else 0
    # x - v dil <= (n - 1) s
    if x > (n - 1) * s:
        v = (x - (n - 1) * s - 1) // dil + 1
    last = min(x // dil, h - 1)
    end = min(last, v + step - 1)
    while v < end and (x - v * dil) % s != 0:
        v += 1
    if v <= last and (x - v * dil) % s == 0:
        taps.n = (last - v) // step + 1
        taps.first = v + (taps.n - 1) * step
        taps.at = (x - taps.first * dil) // s


cdef inline void row_taps(const Way *way, Py_ssize_t y, Taps *taps) noexcept nogil:
    cdef const Geometry *g = way.g
    if way.backward:
        taps_to(y, g.s_b, g.top, g.dil_b, way.b_in, g.h_b, taps)
    else:
        taps_of(y, g.s_b, g.top, g.dil_b, way.b_in, g.h_b, taps)


cdef inline void column_taps(const Way *way, Py_ssize_t x, Taps *taps) noexcept nogil:
    cdef const Geometry *g = way.g
    if way.backward:
        taps_to(x, g.s_a, g.left, g.dil_a, way.a_in, g.h_a, taps)
    else:
        taps_of(x, g.s_a, g.left, g.dil_a, way.a_in, g.h_a, taps)


# Whether two pixels have the same taps.
cdef inline bint same_taps(const Taps *one, const Taps *other) noexcept nogil:
    return one.n == other.n and (one.n == 0 or one.first == other.first)


# The columns x, x + step, ..., before `end` with the taps of x. OUT: taps. Returns their number.
cdef inline Py_ssize_t run_length(
    const Way *way, Py_ssize_t x, Py_ssize_t step, Py_ssize_t end, Taps *taps
) noexcept nogil:
    cdef Py_ssize_t n = 1
    cdef Taps other
    column_taps(way, x, taps)
    while x + n * step < end:
        column_taps(way, x + n * step, &other)
        if not same_taps(&other, taps):
            break
        n += 1
    return n


# The rows row, row + step, ..., before `end` with the taps of `row`, in one image. OUT: taps.
# Returns their number.
cdef inline Py_ssize_t rows_length(
    const Way *way, Py_ssize_t row, Py_ssize_t step, Py_ssize_t end, Taps *taps
) noexcept nogil:
    cdef Py_ssize_t n = 1, y = row % way.b
    cdef Taps other
    row_taps(way, y, taps)
    end = min(end, row - y + way.b)
    while row + n * step < end:
        row_taps(way, y + n * step, &other)
        if not same_taps(&other, taps):
            break
        n += 1
    return n
