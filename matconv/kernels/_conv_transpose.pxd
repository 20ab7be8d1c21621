"""Transposed convolution without checks, for compiled code: the adjoint of a convolution c."""

from ._activation cimport Activation
from ._conv_driver cimport Convolution
from ._types cimport real


# S = sigma(P_phi' W' Z + b 1').
# IN: Z (l, b_out, a_out, d_out), W (d_g, h_b, h_a, d_out), b (d,) or NULL, valid activation or
# NULL. OUT: S (l, b, a, d). SCRATCH: conv_scratch(c, True, guarded). No aliasing.
cdef void transposed_forward(
    const Convolution *c, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S, real *scratch, bint guarded,
) noexcept nogil

# dZ = W phi(dS), dW = sum_i Z^i phi(dS^i)', db = sum_i dS^i 1; NULL: not computed.
# IN: dS (l, b, a, d), Z, W. OUT: dZ, dW, db.
# SCRATCH: the maximum of conv_scratch(c, False, guarded) and conv_scratch(c, True, guarded).
cdef void transposed_backward(
    const Convolution *c, const real *dS, const real *Z, const real *W, real *dZ, real *dW,
    real *db, real *scratch, bint guarded,
) noexcept nogil
