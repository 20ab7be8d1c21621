"""Convolution as matrix products, a tile of phi at a time: the drivers and their Python plan."""

cimport numpy as cnp

from .geometry cimport Geometry, WindowGeometry
from .types cimport real


# Numbers of scratch that the drivers need (OUT: size). Returns a Status.
cdef int conv_scratch_size(const Geometry *g, bint backward, Py_ssize_t *size) noexcept nogil

# S = W phi(Z) + b 1', then sigma when relu; equations (1) to (3).
# IN: Z (l, b, a, d), W (d_g, h_b, h_a, d_out), b (d_out,) or NULL.
# OUT: S (l, b_out, a_out, d_out). SCRATCH: conv_scratch_size(g, False). No aliasing.
# 2 l b_out a_out K d_out flops. Returns a Status.
cdef int conv_forward(
    const Geometry *g, const real *Z, const real *W, const real *b, bint relu,
    real *S, real *scratch,
) noexcept nogil

# The gradients for Z, W and b from the one for S; each output may be NULL: not computed.
# IN: dS (l, b_out, a_out, d_out), Z, W. OUT: dZ, dW, db, shaped as Z, W, b.
# SCRATCH: conv_scratch_size(g, True). No aliasing. Returns a Status.
cdef int conv_backward(
    const Geometry *g, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch,
) noexcept nogil
