"""Convolution by im2col: one matrix product for each tile of phi."""

from ._activation cimport Activation
from ._geometry cimport Geometry
from ._tile cimport filters_in_tile_order
from ._tuning cimport tuning_of
from ._types cimport real

cdef enum:
    # phi is gathered transposed if neighbouring elements of its rows are at most this far apart in
    # Z
    NEAR = 4


# Whether phi(Z) = Z, so that nothing is gathered: 1x1 filters with stride 1, without padding.
cdef inline bint is_direct(const Geometry *g) noexcept nogil:
    return (
        g.h_b == 1 and g.h_a == 1 and g.s_b == 1 and g.s_a == 1
        and g.top == 0 and g.bottom == 0 and g.left == 0 and g.right == 0
    )


# Whether the tiles of phi are transposed.
cdef inline bint is_transposed(const Geometry *g) noexcept nogil:
    return g.s_a <= NEAR // g.d and not is_direct(g)


# Whether the backward pass reads W as it lies, instead of prepared filters.
cdef inline bint reads_filters(const Geometry *g, bint is_double) noexcept nogil:
    return filters_in_tile_order(g) and (is_transposed(g) or tuning_of(is_double).transposes)


# Elements of scratch for a pass. OUT: size. Returns a status.
cdef int im2col_scratch(
    const Geometry *g, bint is_double, bint backward, Py_ssize_t *size
) noexcept nogil

# The number of tiles of the outputs.
cdef Py_ssize_t im2col_tiles(const Geometry *g, bint is_double) noexcept nogil

# Whether a forward pass can have a second product. Neither the number of images nor the part of the
# convolution matters.
cdef bint im2col_adds(const Geometry *g) noexcept nogil

# S = sigma(W phi(Z) + W_2 phi(Z_2) + b 1') on tiles first to last - 1.
# IN: Z (l, b, a, d), W_tile (h_b, h_a, d_g, d_out), see `_tile`; Z_2, W_2 with the same shapes if
# `im2col_adds`, or NULL; b (d_out,) or NULL; valid activation or NULL.
# OUT: S (l, b_out, a_out, d_out). SCRATCH: im2col_scratch of a forward pass. No aliasing.
# 2 l b_out a_out K d_out flops for each product.
cdef void im2col_forward(
    const Geometry *g, const real *Z, const real *W_tile, const real *Z_2, const real *W_2,
    const real *b, const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last,
    real *scratch,
) noexcept nogil

# The filters first to last - 1 of Wt(d_out, K), W_tile transposed, for the backward pass, unless it
# `reads_filters`. If `is_transposed`, Wt is W_tile itself, not transposed, and the call with first
# = 0 writes all of it. IN: W. OUT: Wt, K d_out elements.
cdef void im2col_prepare_backward(
    const Geometry *g, const real *W, real *Wt, Py_ssize_t first, Py_ssize_t last
) noexcept nogil

# The gradients for Z, W and b from the one for S; NULL: not computed. add_images: dZ is added to;
# add_parameters: dW and db are added to.
# IN: dS (l, b_out, a_out, d_out), Z, Wt (only for dZ; its rows are row_W apart), or W if
# `reads_filters`.
# OUT: dZ, dW, db, with the shapes of Z, W, b. SCRATCH: im2col_scratch of a backward pass.
# No aliasing.
cdef void im2col_backward(
    const Geometry *g, const real *dS, const real *Z, const real *Wt, Py_ssize_t row_W,
    bint add_images, real *dZ, bint add_parameters, real *dW, real *db, real *scratch,
) noexcept nogil
