"""Convolution with few channels per group, by loops over taps instead of products of matrices.

With one input and one output channel per group (a depthwise convolution) phi' dS and W phi are not
products that BLAS could compute fast. Here several channels of several neighbouring pixels are
accumulated in registers. Padding is skipped, not multiplied by.
"""

from ._activation cimport Activation
from ._geometry cimport Geometry
from ._types cimport real

cdef enum:
    DIRECT = -1     # instead of the height of a tile of Winograd's algorithm


# Whether these loops are faster than products.
cdef bint direct_pays(const Geometry *g) noexcept nogil

# S = sigma(W phi(Z) + b 1') on output rows first to last - 1, counted through all images.
# IN: Z (l, b, a, d), W (d_g, h_b, h_a, d_out), b (d_out,) or NULL, valid activation or NULL.
# OUT: S (l, b_out, a_out, d_out). No aliasing. Requires groups > 1.
cdef void direct_forward(
    const Geometry *g, const real *Z, const real *W, const real *b, const Activation *activation,
    real *S, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil

# Filters first to last - 1 of Wt (d_out_g, h_b, h_a, d), which has the filters of each group
# transposed. IN: W. OUT: Wt.
cdef void direct_prepare_backward(
    const Geometry *g, const real *W, real *Wt, Py_ssize_t first, Py_ssize_t last
) noexcept nogil

# vec(dZ) = P_phi' vec(W' dS), or += if add. IN: dS, Wt. OUT: dZ.
cdef void direct_images(
    const Geometry *g, const real *dS, const real *Wt, bint add, real *dZ
) noexcept nogil

# dW = sum_i dS^i phi(Z^i)', or += if add. IN: dS, Z. OUT: dW (d_g, h_b, h_a, d_out).
cdef void direct_filters(
    const Geometry *g, const real *dS, const real *Z, bint add, real *dW
) noexcept nogil
