"""Convolution as matrix products, a tile of phi at a time.

    Z (l, b, a, d)  --gather-->  phi tile (K, n)  --product with W (d_out, K)-->  S tile (d_out, n)
                                 stays in cache                                + b, sigma in place

A tile is n output positions, counted through all images, so that small images share one. Every
matrix is column-major, so a tile of S is a piece of the output array itself.
"""

from libc.string cimport memset

from ._activation cimport Activation
from ._bias_relu cimport add_rows, bias_activation_rows
from ._blas cimport gemm, product
from ._conv_taps cimport taps_filters, taps_forward, taps_images, taps_pay
from ._geometry cimport Geometry, mul_overflows
from ._status cimport OK, OVERFLOW
from ._tile cimport (
    filters_in_tile_order, gather_tile, permute_filters, scatter_tile, transpose, turned_tile,
    unpermute_filters,
)
from ._types cimport real

cdef enum:
    # numbers of a phi tile: it shares the level-2 cache with what it is multiplied by
    TILE_NUMBERS = 1 << 16
    TILE_MOST = 512
    TILE_LEAST_FORWARD = 96
    # each tile reads the whole W, which comes from memory when it has more numbers than this
    LARGE_FILTERS = 1 << 20
    # and each of the backward pass reads and writes the whole dW
    TILE_LEAST_BACKWARD = 256
    # neighbours in a row of phi are this many numbers apart: then gather along rows
    NEAR = 4


cdef inline bint is_turned(const Geometry *g) noexcept nogil:
    return g.s_a <= NEAR // g.d and not is_direct(g)


cdef inline Py_ssize_t usual_tile(const Geometry *g, bint backward) noexcept nogil:
    cdef Py_ssize_t n = TILE_NUMBERS // g.K // 16 * 16
    cdef Py_ssize_t least = TILE_LEAST_FORWARD
    if backward or g.K * g.d_out > LARGE_FILTERS:
        least = TILE_LEAST_BACKWARD
    return min(max(n, least), <Py_ssize_t> TILE_MOST)


# Tiles of equal length (a short last one wastes the product), half as long again as usual at most.
# Of the geometry alone, never of threads or free memory, so that the bits are too.
cdef inline Py_ssize_t tile_length(const Geometry *g, bint backward) noexcept nogil:
    cdef Py_ssize_t total = g.l * g.b_out * g.a_out
    cdef Py_ssize_t usual = usual_tile(g, backward)
    cdef Py_ssize_t count = max(<Py_ssize_t> 1, (total + usual // 2) // usual)
    return max((total + count - 1) // count, <Py_ssize_t> 1)


cdef int im2col_scratch(const Geometry *g, bint backward, Py_ssize_t *size) noexcept nogil:
    # one tile of phi; backward dW in its order as well
    cdef Py_ssize_t tile = 0, filters = 0
    if not is_direct(g) and mul_overflows(usual_tile(g, backward) * 3 // 2, g.K, &tile):
        return OVERFLOW
    if backward and not filters_in_tile_order(g):
        filters = g.K * g.d_out
    size[0] = tile + filters
    return OK


cdef Py_ssize_t im2col_tiles(const Geometry *g) noexcept nogil:
    cdef Py_ssize_t length = tile_length(g, False)
    if taps_pay(g):
        return g.b_out * g.a_out
    return (g.l * g.b_out * g.a_out + length - 1) // length


cdef void im2col_forward(
    const Geometry *g, const real *Z, const real *W_tile, const real *b,
    const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t length = tile_length(g, False), d_out_g = g.d_out_g
    cdef Py_ssize_t t0 = first * length, n, group, ld_phi = g.K
    cdef Py_ssize_t stop = min(last * length, g.l * g.b_out * g.a_out)
    cdef bint direct = is_direct(g), turned = is_turned(g)
    cdef const real *phi = scratch
    cdef real *S_tile
    if taps_pay(g):
        taps_forward(g, Z, W_tile, S, first, last)
        for n in range(g.l if b != NULL or activation != NULL else 0):
            S_tile = S + (n * g.b_out * g.a_out + first) * g.d_out
            bias_activation_rows(last - first, g.d_out, S_tile, b, activation, S_tile)
        return
    if direct:
        ld_phi = g.d
    while t0 < stop:
        n = min(length, stop - t0)
        S_tile = S + t0 * g.d_out
        for group in range(g.groups):
            # S(d_out_g, n) = W(d_out_g, K) phi(K, n)
            if turned:
                turned_tile(g, t0, n, <real *> Z + group * g.d_g, scratch, False)
                product(c'T', d_out_g, n, g.K, W_tile + group * d_out_g, g.d_out, scratch, n,
                        False, S_tile + group * d_out_g, g.d_out)
                continue
            if direct:
                phi = Z + t0 * g.d + group * g.d_g
            else:
                phi = scratch
                gather_tile(g, t0, n, Z + group * g.d_g, scratch)
            product(c'N', d_out_g, n, g.K, W_tile + group * d_out_g, g.d_out, phi, ld_phi,
                    False, S_tile + group * d_out_g, g.d_out)
        if b != NULL or activation != NULL:
            bias_activation_rows(n, g.d_out, S_tile, b, activation, S_tile)
        t0 += n


cdef void im2col_prepare_backward(
    const Geometry *g, const real *W, real *W_turned, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    cdef Py_ssize_t hh = g.h_b * g.h_a, pixel
    W += first
    if is_turned(g):
        if first == 0:
            permute_filters(g, W, W_turned)
        return
    W_turned += first * g.K
    if filters_in_tile_order(g):
        transpose(g.K, last - first, W, g.d_out, W_turned, g.K)
        return
    for pixel in range(hh):
        transpose(g.d_g, last - first, W + pixel * g.d_out, hh * g.d_out,
                  W_turned + pixel * g.d_g, g.K)


cdef void im2col_backward(
    const Geometry *g, const real *dS, const real *Z, const real *W_turned, Py_ssize_t row_W,
    bint add_images, real *dZ, bint add_parameters, real *dW, real *db, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t total = g.l * g.b_out * g.a_out
    cdef Py_ssize_t length = tile_length(g, True), d_out_g = g.d_out_g
    cdef Py_ssize_t t0 = 0, n, group, ld_phi = g.K
    cdef bint direct = is_direct(g), turned = is_turned(g), in_order = filters_in_tile_order(g)
    cdef bint add_dW
    cdef const real *phi
    cdef const real *dS_tile
    cdef real *dphi
    cdef real *dW_tile = dW
    if not in_order:
        dW_tile = scratch
        scratch += g.K * g.d_out
        if dW != NULL and add_parameters:
            permute_filters(g, dW, dW_tile)
    if db != NULL and not add_parameters:
        memset(db, 0, g.d_out * sizeof(real))
    if taps_pay(g):
        if db != NULL:
            add_rows(total, g.d_out, dS, db)
        if dZ != NULL:
            taps_images(g, dS, W_turned, row_W, add_images, dZ)
        if dW != NULL:
            taps_filters(g, dS, Z, add_parameters, dW_tile)
            if not in_order:
                unpermute_filters(g, dW_tile, dW)
        return
    if direct:
        ld_phi = g.d
    elif dZ != NULL and not add_images:
        memset(dZ, 0, g.l * g.b * g.a * g.d * sizeof(real))
    if dW != NULL and total == 0 and not add_parameters:
        memset(dW, 0, g.K * g.d_out * sizeof(real))
    while t0 < total:
        n = min(length, total - t0)
        add_dW = add_parameters or t0 != 0
        for group in range(g.groups):
            dS_tile = dS + t0 * g.d_out + group * d_out_g
            if dW != NULL and turned:
                # dW(d_out_g, K) += dS(d_out_g, n) phi'(n, K)
                turned_tile(g, t0, n, <real *> Z + group * g.d_g, scratch, False)
                product(c'N', d_out_g, g.K, n, dS_tile, g.d_out, scratch, n,
                        add_dW, dW_tile + group * d_out_g, g.d_out)
            elif dW != NULL:
                if direct:
                    phi = Z + t0 * g.d + group * g.d_g
                else:
                    phi = scratch
                    gather_tile(g, t0, n, Z + group * g.d_g, scratch)
                # dW(d_out_g, K) += dS(d_out_g, n) phi(K, n)'
                product(c'T', d_out_g, g.K, n, dS_tile, g.d_out, phi, ld_phi,
                        add_dW, dW_tile + group * d_out_g, g.d_out)
            if dZ != NULL and turned:
                # dphi'(n, K) = dS(d_out_g, n)' W(d_out_g, K)
                gemm(c'T', c'N', n, g.K, d_out_g, dS_tile, g.d_out, W_turned + group * d_out_g,
                     g.d_out, 0, scratch, n)
                turned_tile(g, t0, n, dZ + group * g.d_g, scratch, True)
            elif dZ != NULL:
                dphi = dZ + t0 * g.d + group * g.d_g if direct else scratch
                # dphi(K, n) = W'(K, d_out_g) dS(d_out_g, n)
                product(c'N', g.K, n, d_out_g, W_turned + group * d_out_g * row_W, row_W,
                        dS_tile, g.d_out, direct and add_images, dphi, ld_phi)
                if not direct:
                    # Z's gradient: vec(dZ) += P_phi' vec(dphi)
                    scatter_tile(g, t0, n, dZ + group * g.d_g, dphi)
        if db != NULL:
            # db(d_out) += dS(d_out, n) 1
            add_rows(n, g.d_out, dS + t0 * g.d_out, db)
        t0 += n
    if dW != NULL and not in_order and total > 0:
        unpermute_filters(g, dW_tile, dW)
