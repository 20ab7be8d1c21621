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
from ._conv_offsets cimport offsets_filters, offsets_forward, offsets_pay, offsets_scratch
from ._conv_taps cimport taps_filters, taps_forward, taps_images, taps_pay
from ._geometry cimport Geometry, mul_overflows
from ._status cimport OK, OVERFLOW
from ._tile cimport (
    filters_in_tile_order, gather_tile, permute_filters, scatter_tile, transpose, transposed_tile,
    unpermute_filters,
)
from ._tuning cimport Tuning, tuning_of
from ._types cimport real

cdef enum:
    # each tile reads W from memory if it has more elements
    LARGE_FILTERS = 1 << 20


# A tile of phi shares the level-2 cache with the other operand of the product.
cdef inline Py_ssize_t usual_tile(
    const Geometry *g, bint is_double, bint backward
) noexcept nogil:
    cdef const Tuning *tuning = tuning_of(is_double)
    cdef Py_ssize_t n = tuning.phi_elements // g.K // 16 * 16
    cdef Py_ssize_t minimum = tuning.min_phi_columns
    if backward or g.K * g.d_out > LARGE_FILTERS:
        minimum = tuning.min_phi_columns_large
    return min(max(n, minimum), tuning.max_phi_columns)


# The length of near-equal tiles, since a product with a short last tile is slow: at most 1.5 times
# `usual_tile`. It depends on the geometry only, not on threads or free memory, as the bits of
# results must not.
cdef inline Py_ssize_t tile_length(
    const Geometry *g, bint is_double, bint backward
) noexcept nogil:
    cdef Py_ssize_t total = g.l * g.b_out * g.a_out
    cdef Py_ssize_t usual = usual_tile(g, is_double, backward)
    cdef Py_ssize_t count = max(<Py_ssize_t> 1, (total + usual // 2) // usual)
    return max((total + count - 1) // count, <Py_ssize_t> 1)


cdef int im2col_scratch(
    const Geometry *g, bint is_double, bint backward, Py_ssize_t *size
) noexcept nogil:
    # a tile of phi; in the backward pass also dW in the order of a tile
    cdef Py_ssize_t tile = 0, filters = 0, other = 0
    if not is_direct(g) and mul_overflows(usual_tile(g, is_double, backward) * 3 // 2, g.K, &tile):
        return OVERFLOW
    if backward and not filters_in_tile_order(g):
        filters = g.K * g.d_out
    if offsets_pay(g):
        other = offsets_scratch(g)
    size[0] = (max(tile, other) if backward else other or tile) + filters
    return OK


cdef Py_ssize_t im2col_tiles(const Geometry *g, bint is_double) noexcept nogil:
    cdef Py_ssize_t length = tile_length(g, is_double, False)
    if taps_pay(g):
        return g.b_out * g.a_out
    if offsets_pay(g):
        return g.l * g.b_out
    return (g.l * g.b_out * g.a_out + length - 1) // length


cdef bint im2col_adds(const Geometry *g) noexcept nogil:
    return taps_pay(g) or not offsets_pay(g)


# S of a tile and a group, or += if add. IN: Z, W_tile, from the group's first channel or filter on.
# OUT: S, of the tile and group. SCRATCH: a tile of phi.
cdef void tile_outputs(
    const Geometry *g, Py_ssize_t t0, Py_ssize_t n, const real *Z, const real *W_tile, bint add,
    real *S, real *scratch,
) noexcept nogil:
    cdef const real *phi = scratch
    cdef Py_ssize_t ld_phi = g.K
    if is_transposed(g):
        transposed_tile(g, t0, n, <real *> Z, scratch, False)
        # S(d_out_g, n) = W(d_out_g, K) phi'(n, K)'
        product(c'N', c'T', g.d_out_g, n, g.K, W_tile, g.d_out, scratch, n, add, S, g.d_out)
        return
    if is_direct(g):
        phi, ld_phi = Z + t0 * g.d, g.d
    else:
        gather_tile(g, t0, n, Z, scratch)
    # S(d_out_g, n) = W(d_out_g, K) phi(K, n)
    product(c'N', c'N', g.d_out_g, n, g.K, W_tile, g.d_out, phi, ld_phi, add, S, g.d_out)


cdef void im2col_forward(
    const Geometry *g, const real *Z, const real *W_tile, const real *Z_2, const real *W_2,
    const real *b, const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last,
    real *scratch,
) noexcept nogil:
    cdef Py_ssize_t length = tile_length(g, real is double, False), d_out_g = g.d_out_g
    cdef Py_ssize_t t0 = first * length, n, group
    cdef Py_ssize_t stop = min(last * length, g.l * g.b_out * g.a_out)
    cdef real *S_tile
    if taps_pay(g):
        taps_forward(g, Z, W_tile, False, S, first, last)
        if Z_2 != NULL:
            taps_forward(g, Z_2, W_2, True, S, first, last)
        for n in range(g.l if b != NULL or activation != NULL else 0):
            S_tile = S + (n * g.b_out * g.a_out + first) * g.d_out
            bias_activation_rows(last - first, g.d_out, S_tile, b, activation, S_tile)
        return
    if offsets_pay(g):
        offsets_forward(g, Z, W_tile, b, activation, S, first, last, scratch)
        return
    while t0 < stop:
        n = min(length, stop - t0)
        S_tile = S + t0 * g.d_out
        for group in range(g.groups):
            tile_outputs(
                g, t0, n, Z + group * g.d_g, W_tile + group * d_out_g, False,
                S_tile + group * d_out_g, scratch,
            )
            if Z_2 != NULL:
                tile_outputs(
                    g, t0, n, Z_2 + group * g.d_g, W_2 + group * d_out_g, True,
                    S_tile + group * d_out_g, scratch,
                )
        if b != NULL or activation != NULL:
            bias_activation_rows(n, g.d_out, S_tile, b, activation, S_tile)
        t0 += n


cdef void im2col_prepare_backward(
    const Geometry *g, const real *W, real *Wt, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    cdef Py_ssize_t hh = g.h_b * g.h_a, pixel
    W += first
    if is_transposed(g):
        if first == 0:
            permute_filters(g, W, Wt)
        return
    Wt += first * g.K
    if filters_in_tile_order(g):
        transpose(g.K, last - first, W, g.d_out, Wt, g.K)
        return
    for pixel in range(hh):
        transpose(g.d_g, last - first, W + pixel * g.d_out, hh * g.d_out, Wt + pixel * g.d_g, g.K)


# dW of a tile and a group, or += if add. IN: dS, of the tile and group; Z, from the group's first
# channel on. OUT: dW, from the group's first filter on. SCRATCH: a tile of phi.
cdef void tile_filters(
    const Geometry *g, Py_ssize_t t0, Py_ssize_t n, const real *dS, const real *Z, bint add,
    real *dW, real *scratch,
) noexcept nogil:
    cdef const real *phi = scratch
    cdef Py_ssize_t ld_phi = g.K
    if is_transposed(g):
        transposed_tile(g, t0, n, <real *> Z, scratch, False)
        # dW(d_out_g, K) += dS(d_out_g, n) phi'(n, K)
        product(c'N', c'N', g.d_out_g, g.K, n, dS, g.d_out, scratch, n, add, dW, g.d_out)
        return
    if is_direct(g):
        phi = Z + t0 * g.d
        ld_phi = g.d
    else:
        gather_tile(g, t0, n, Z, scratch)
    # dW(d_out_g, K) += dS(d_out_g, n) phi(K, n)'
    product(c'N', c'T', g.d_out_g, g.K, n, dS, g.d_out, phi, ld_phi, add, dW, g.d_out)


# vec(dZ) += P_phi' vec(dphi) of a tile and a group; for a direct convolution dZ = dphi unless add.
# IN: dS, of the tile and group; Wt or W, from the group's first filter on. OUT: dZ, from the
# group's first channel on. SCRATCH: a tile of phi.
cdef void tile_images(
    const Geometry *g, Py_ssize_t t0, Py_ssize_t n, const real *dS, const real *Wt,
    Py_ssize_t row_W, bint add, real *dZ, real *scratch,
) noexcept nogil:
    cdef char op = c'N'
    if reads_filters(g, real is double):
        op, row_W = c'T', g.d_out
    if is_transposed(g):
        # dphi'(n, K) = dS(d_out_g, n)' W(d_out_g, K)
        gemm(c'T', c'N', n, g.K, g.d_out_g, dS, g.d_out, Wt, g.d_out, 0, scratch, n)
        transposed_tile(g, t0, n, dZ, scratch, True)
    elif is_direct(g):
        # dphi(K, n) = W(d_out_g, K)' dS(d_out_g, n), or +=
        product(op, c'N', g.K, n, g.d_out_g, Wt, row_W, dS, g.d_out, add, dZ + t0 * g.d, g.d)
    else:
        # dphi(K, n) = W(d_out_g, K)' dS(d_out_g, n)
        product(op, c'N', g.K, n, g.d_out_g, Wt, row_W, dS, g.d_out, False, scratch, g.K)
        scatter_tile(g, t0, n, dZ, scratch)


cdef void im2col_backward(
    const Geometry *g, const real *dS, const real *Z, const real *Wt, Py_ssize_t row_W,
    bint add_images, real *dZ, bint add_parameters, real *dW, real *db, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t total = g.l * g.b_out * g.a_out
    cdef Py_ssize_t length = tile_length(g, real is double, True), d_out_g = g.d_out_g
    # from one group to the next
    cdef bint reads_W = reads_filters(g, real is double)
    cdef Py_ssize_t step_W = d_out_g if reads_W or is_transposed(g) else d_out_g * row_W
    cdef Py_ssize_t t0 = 0, n, group
    cdef bint in_order = filters_in_tile_order(g)
    cdef const real *dS_group
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
            taps_images(g, dS, Wt, row_W, reads_W, add_images, dZ)
        if dW != NULL:
            taps_filters(g, dS, Z, add_parameters, dW_tile)
            if not in_order:
                unpermute_filters(g, dW_tile, dW)
        return
    if dW != NULL and offsets_pay(g):
        offsets_filters(g, dS, Z, add_parameters, dW_tile, scratch)
        if not in_order:
            unpermute_filters(g, dW_tile, dW)
        dW = NULL
    if not is_direct(g) and dZ != NULL and not add_images:
        memset(dZ, 0, g.l * g.b * g.a * g.d * sizeof(real))
    if dW != NULL and total == 0 and not add_parameters:
        memset(dW, 0, g.K * g.d_out * sizeof(real))
    while t0 < total:
        n = min(length, total - t0)
        for group in range(g.groups):
            dS_group = dS + t0 * g.d_out + group * d_out_g
            if dW != NULL:
                tile_filters(
                    g, t0, n, dS_group, Z + group * g.d_g, add_parameters or t0 != 0,
                    dW_tile + group * d_out_g, scratch,
                )
            if dZ != NULL:
                tile_images(
                    g, t0, n, dS_group, Wt + group * step_W, row_W, add_images,
                    dZ + group * g.d_g, scratch,
                )
        if db != NULL:
            # db(d_out) += dS(d_out, n) 1
            add_rows(n, g.d_out, dS + t0 * g.d_out, db)
        t0 += n
    if dW != NULL and not in_order and total > 0:
        unpermute_filters(g, dW_tile, dW)
