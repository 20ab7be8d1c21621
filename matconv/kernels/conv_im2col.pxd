"""Convolution as one matrix product per tile of phi: the drivers."""

from ._activation cimport Activation
from .geometry cimport Geometry
from .types cimport real


# Numbers of scratch that the drivers need (OUT: size). Returns a Status.
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

# The gradients for Z, W and b from the one for S; each may be NULL: not computed.
# IN: dS (l, b_out, a_out, d_out), Z, W. OUT: dZ, dW, db, shaped as Z, W, b.
# SCRATCH: im2col_scratch(g, True). No aliasing.
cdef void im2col_backward(
    const Geometry *g, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch,
) noexcept nogil
