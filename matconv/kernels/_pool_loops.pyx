"""Pooling without checks, for compiled code; `_pool` has the functions for Python."""

from ._geometry cimport Geometry
from ._tile cimport inside
from ._types cimport real


# x <= out is false if either is a NaN: the first NaN replaces out, and is not replaced since
# out == out is false then
cdef void max_pool(
    const Geometry *g, const real *Z, real *out, int *where, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    cdef Py_ssize_t row, q, p, u, v, c, y0, x0, u_lo = 0, u_hi = 0, v_lo = 0, v_hi = 0
    cdef Py_ssize_t d = g.d
    cdef const real *image
    cdef const real *pixel
    cdef int at
    cdef bint is_first, better
    out += first * g.a_out * d
    if where != NULL:
        where += first * g.a_out * d
    for row in range(first, last):
        image = Z + row // g.b_out * g.b * g.a * d
        q = row % g.b_out
        y0 = q * g.s_b - g.top
        inside(y0, 1, g.b, g.h_b, &u_lo, &u_hi)
        for p in range(g.a_out):
            x0 = p * g.s_a - g.left
            inside(x0, 1, g.a, g.h_a, &v_lo, &v_hi)
            is_first = True
            for u in range(u_lo, u_hi):
                for v in range(v_lo, v_hi):
                    at = <int> ((y0 + u) * g.a + x0 + v)
                    pixel = image + at * d
                    if is_first:
                        is_first = False
                        for c in range(d):
                            out[c] = pixel[c]
                        if where != NULL:
                            for c in range(d):
                                where[c] = at
                    elif where == NULL:
                        for c in range(d):
                            better = not (pixel[c] <= out[c]) and out[c] == out[c]
                            out[c] = pixel[c] if better else out[c]
                    else:
                        for c in range(d):
                            better = not (pixel[c] <= out[c]) and out[c] == out[c]
                            out[c] = pixel[c] if better else out[c]
                            where[c] = at if better else where[c]
            out += d
            if where != NULL:
                where += d


cdef void max_pool_backward(
    const Geometry *g, const real *dOut, const int *where, real *dZ, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t row, t, c, d = g.d
    cdef real *image
    for row in range(first, last):
        image = dZ + row // g.b_out * g.b * g.a * d
        for t in range(row * g.a_out, (row + 1) * g.a_out):
            for c in range(d):
                image[where[t * d + c] * d + c] += dOut[t * d + c]


# The rows (columns) of a window of h from y on that are counted: those in the image, or up to
# `counted` after it.
cdef inline Py_ssize_t counted_length(
    Py_ssize_t y, Py_ssize_t h, Py_ssize_t n, Py_ssize_t inside_image, const Py_ssize_t *counted
) noexcept nogil:
    return inside_image if counted == NULL else min(h, n + counted[0] - y)


cdef void avg_pool(
    const Geometry *g, const Py_ssize_t *counted, const real *Z, real *out, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t row, q, p, u, v, c, y0, x0, u_lo = 0, u_hi = 0, v_lo = 0, v_hi = 0
    cdef Py_ssize_t d = g.d
    cdef const real *image
    cdef const real *pixel
    cdef real count
    cdef Py_ssize_t rows, columns
    cdef const Py_ssize_t *right = NULL if counted == NULL else counted + 1
    out += first * g.a_out * d
    for row in range(first, last):
        image = Z + row // g.b_out * g.b * g.a * d
        q = row % g.b_out
        y0 = q * g.s_b - g.top
        inside(y0, 1, g.b, g.h_b, &u_lo, &u_hi)
        rows = counted_length(y0, g.h_b, g.b, u_hi - u_lo, counted)
        for p in range(g.a_out):
            x0 = p * g.s_a - g.left
            inside(x0, 1, g.a, g.h_a, &v_lo, &v_hi)
            for c in range(d):
                out[c] = 0
            for u in range(u_lo, u_hi):
                for v in range(v_lo, v_hi):
                    pixel = image + ((y0 + u) * g.a + x0 + v) * d
                    for c in range(d):
                        out[c] += pixel[c]
            columns = counted_length(x0, g.h_a, g.a, v_hi - v_lo, right)
            count = <real> (rows * columns)
            for c in range(d):
                out[c] /= count
            out += d


cdef void avg_pool_backward(
    const Geometry *g, const Py_ssize_t *counted, const real *dOut, real *dZ, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t row, q, p, u, v, c, y0, x0, u_lo = 0, u_hi = 0, v_lo = 0, v_hi = 0
    cdef Py_ssize_t d = g.d
    cdef real *image
    cdef real *pixel
    cdef real count
    cdef Py_ssize_t rows, columns
    cdef const Py_ssize_t *right = NULL if counted == NULL else counted + 1
    dOut += first * g.a_out * d
    for row in range(first, last):
        image = dZ + row // g.b_out * g.b * g.a * d
        q = row % g.b_out
        y0 = q * g.s_b - g.top
        inside(y0, 1, g.b, g.h_b, &u_lo, &u_hi)
        rows = counted_length(y0, g.h_b, g.b, u_hi - u_lo, counted)
        for p in range(g.a_out):
            x0 = p * g.s_a - g.left
            inside(x0, 1, g.a, g.h_a, &v_lo, &v_hi)
            columns = counted_length(x0, g.h_a, g.a, v_hi - v_lo, right)
            count = <real> (rows * columns)
            for u in range(u_lo, u_hi):
                for v in range(v_lo, v_hi):
                    pixel = image + ((y0 + u) * g.a + x0 + v) * d
                    for c in range(d):
                        pixel[c] += dOut[c] / count
            dOut += d
