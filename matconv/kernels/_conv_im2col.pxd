"""Convolution as one matrix product per tile of phi: the drivers."""

from ._activation cimport Activation
from ._geometry cimport Geometry
from ._types cimport real


# Whether phi(Z) is Z, and there is nothing to gather: a 1x1 filter on every pixel.
cdef inline bint is_direct(const Geometry *g) noexcept nogil:
    return (
        g.h_b == 1 and g.h_a == 1 and g.s_b == 1 and g.s_a == 1
        and g.top == 0 and g.bottom == 0 and g.left == 0 and g.right == 0
    )


# Elements of scratch that the drivers need (OUT: size). Returns a Status.
cdef int im2col_scratch(const Geometry *g, bint backward, Py_ssize_t *size) noexcept nogil

# Tiles that the outputs of g.l images are cut into.
cdef Py_ssize_t im2col_tiles(const Geometry *g) noexcept nogil

# S = sigma(W phi(Z) + b 1') on tiles first to last - 1.
# IN: Z (l, b, a, d), W_tile (h_b, h_a, d_g, d_out), see `tile`, b (d_out,) or NULL,
# a valid activation or NULL.
# OUT: S (l, b_out, a_out, d_out). SCRATCH: im2col_scratch(g, False). No aliasing.
# 2 l b_out a_out K d_out flops.
cdef void im2col_forward(
    const Geometry *g, const real *Z, const real *W_tile, const real *b,
    const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last, real *scratch,
) noexcept nogil

# W_turned(K, d_out), what the backward pass multiplies with, of filters first to last - 1; with few
# channels all of them at once, with first = 0. K d_out elements of all. IN: W. OUT: W_turned.
cdef void im2col_prepare_backward(
    const Geometry *g, const real *W, real *W_turned, Py_ssize_t first, Py_ssize_t last
) noexcept nogil

# The gradients for Z, W and b from the one for S; each may be NULL: not computed. With add_images
# the one for Z, with add_parameters those for W and b are added to what is there.
# IN: dS (l, b_out, a_out, d_out), Z, W_turned (only for dZ; its columns are row_W apart).
# OUT: dZ, dW, db, shaped as Z, W, b. SCRATCH: im2col_scratch(g, True). No aliasing.
cdef void im2col_backward(
    const Geometry *g, const real *dS, const real *Z, const real *W_turned, Py_ssize_t row_W,
    bint add_images, real *dZ, bint add_parameters, real *dW, real *db, real *scratch,
) noexcept nogil
