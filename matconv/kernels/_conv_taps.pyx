"""Convolution of small images, where much of phi is padding: a product for each tap.

On 2 x 2 images only 4 of the 9 taps of a padded 3 x 3 filter are in the image. So nothing is
gathered; for each output position and tap in the image there is one product,

    S_position(d_out, l) += W_tap(d_out, d) Z_pixel(d, l)

whose columns, one for each image, are the elements of an image apart: equation (1) without the
zeros of phi.
"""

from libc.limits cimport INT_MAX
from libc.string cimport memset

from ._blas cimport product
from ._geometry cimport Geometry
from ._tile cimport inside, zero_run
from ._types cimport real

cdef enum:
    MIN_IMAGES = 16         # columns of a product
    MIN_CHANNELS = 16       # its inner size
    MAX_PAIRS = 400         # of an output position and a tap


cdef Py_ssize_t taps_count(const Geometry *g) noexcept nogil:
    cdef Py_ssize_t down = 0, right = 0, k, lo = 0, hi = 0
    for k in range(g.b_out):
        inside(k * g.s_b - g.top, g.dil_b, g.b, g.h_b, &lo, &hi)
        down += hi - lo
    for k in range(g.a_out):
        inside(k * g.s_a - g.left, g.dil_a, g.a, g.h_a, &lo, &hi)
        right += hi - lo
    return down * right


cdef bint taps_pay(const Geometry *g) noexcept nogil:
    cdef Py_ssize_t positions = g.b_out * g.a_out
    if g.l < MIN_IMAGES or g.d_g < MIN_CHANNELS or positions * g.h_b * g.h_a > MAX_PAIRS:
        return False
    if g.b * g.a * g.d > INT_MAX or positions * g.d_out > INT_MAX:
        return False
    # with less than a third of zeros, products with so few columns are slower
    return 3 * taps_count(g) <= 2 * positions * g.h_b * g.h_a


cdef void taps_forward(
    const Geometry *g, const real *Z, const real *W_tile, bint add, real *S, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t step_S = g.b_out * g.a_out * g.d_out, step_Z = g.b * g.a * g.d
    cdef Py_ssize_t position, u, v, t, group, y, x, u0 = 0, u1 = 0, v0 = 0, v1 = 0
    cdef real *S_position
    for position in range(first, last):
        S_position = S + position * g.d_out
        y = position // g.a_out * g.s_b - g.top
        x = position % g.a_out * g.s_a - g.left
        inside(y, g.dil_b, g.b, g.h_b, &u0, &u1)
        inside(x, g.dil_a, g.a, g.h_a, &v0, &v1)
        if not add and (u0 == u1 or v0 == v1):
            for t in range(g.l):
                zero_run(S_position + t * step_S, g.d_out)
        for u in range(u0, u1):
            for v in range(v0, v1):
                for group in range(g.groups):
                    # S_position(d_out_g, l) += W_tap(d_out_g, d_g) Z_pixel(d_g, l)
                    product(
                        c'N', c'N', g.d_out_g, g.l, g.d_g,
                        W_tile + (u * g.h_a + v) * g.d_g * g.d_out + group * g.d_out_g, g.d_out,
                        Z + ((y + u * g.dil_b) * g.a + x + v * g.dil_a) * g.d + group * g.d_g,
                        step_Z, add or u > u0 or v > v0, S_position + group * g.d_out_g, step_S,
                    )


cdef void taps_images(
    const Geometry *g, const real *dS, const real *Wt, Py_ssize_t row_W, bint reads_W, bint add,
    real *dZ,
) noexcept nogil:
    cdef Py_ssize_t step_S = g.b_out * g.a_out * g.d_out, step_Z = g.b * g.a * g.d
    cdef Py_ssize_t position, u, v, group, y, x, u0 = 0, u1 = 0, v0 = 0, v1 = 0
    # from one filter, and from one channel, to the next
    cdef Py_ssize_t step_d_out = 1 if reads_W else row_W, step_d = g.d_out if reads_W else 1
    if not add:
        memset(dZ, 0, g.l * step_Z * sizeof(real))
    for position in range(g.b_out * g.a_out):
        y = position // g.a_out * g.s_b - g.top
        x = position % g.a_out * g.s_a - g.left
        inside(y, g.dil_b, g.b, g.h_b, &u0, &u1)
        inside(x, g.dil_a, g.a, g.h_a, &v0, &v1)
        for u in range(u0, u1):
            for v in range(v0, v1):
                for group in range(g.groups):
                    # dZ_pixel(d_g, l) += W_tap(d_out_g, d_g)' dS_position(d_out_g, l)
                    product(
                        c'T' if reads_W else c'N', c'N', g.d_g, g.l, g.d_out_g,
                        Wt + group * g.d_out_g * step_d_out + (u * g.h_a + v) * g.d_g * step_d,
                        max(step_d_out, step_d),
                        dS + position * g.d_out + group * g.d_out_g, step_S, True,
                        dZ + ((y + u * g.dil_b) * g.a + x + v * g.dil_a) * g.d + group * g.d_g,
                        step_Z,
                    )


cdef void taps_filters(
    const Geometry *g, const real *dS, const real *Z, bint add, real *dW_tile
) noexcept nogil:
    cdef Py_ssize_t step_S = g.b_out * g.a_out * g.d_out, step_Z = g.b * g.a * g.d
    cdef Py_ssize_t u, v, q, p, y, x, group
    cdef bint written
    cdef real *dW_tap
    for u in range(g.h_b):
        for v in range(g.h_a):
            dW_tap = dW_tile + (u * g.h_a + v) * g.d_g * g.d_out
            written = add
            for q in range(g.b_out):
                y = q * g.s_b - g.top + u * g.dil_b
                if y < 0 or y >= g.b:
                    continue
                for p in range(g.a_out):
                    x = p * g.s_a - g.left + v * g.dil_a
                    if x < 0 or x >= g.a:
                        continue
                    for group in range(g.groups):
                        # dW_tap(d_out_g, d_g) += dS_position(d_out_g, l) Z_pixel(d_g, l)'
                        product(
                            c'N', c'T', g.d_out_g, g.d_g, g.l,
                            dS + (q * g.a_out + p) * g.d_out + group * g.d_out_g, step_S,
                            Z + (y * g.a + x) * g.d + group * g.d_g, step_Z,
                            written, dW_tap + group * g.d_out_g, g.d_out,
                        )
                    written = True
            if not written:
                zero_run(dW_tap, g.d_g * g.d_out)
