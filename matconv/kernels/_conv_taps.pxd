"""Convolution of small images, where much of phi is padding: a product for each tap."""

from ._geometry cimport Geometry
from ._types cimport real


# The number of pairs of an output position and a filter tap whose pixel is in the image, not in the
# padding. O(b_out + a_out).
cdef Py_ssize_t taps_count(const Geometry *g) noexcept nogil

# Whether this is faster than gathering phi.
cdef bint taps_pay(const Geometry *g) noexcept nogil

# S = W phi(Z), or += if add, at output positions first to last - 1 of all images.
# IN: Z, W_tile (K, d_out) in the order of a tile. OUT: S. No aliasing.
cdef void taps_forward(
    const Geometry *g, const real *Z, const real *W_tile, bint add, real *S, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil

# vec(dZ) = P_phi' vec(W' dS), or += if add. IN: dS, Wt (d_out, K), W_tile transposed, with rows
# row_W apart, or W_tile itself if reads_W. OUT: dZ.
cdef void taps_images(
    const Geometry *g, const real *dS, const real *Wt, Py_ssize_t row_W, bint reads_W, bint add,
    real *dZ,
) noexcept nogil

# dW = sum_i dS^i phi(Z^i)', or += if add. IN: dS, Z. OUT: dW_tile (K, d_out) in the order of a
# tile.
cdef void taps_filters(
    const Geometry *g, const real *dS, const real *Z, bint add, real *dW_tile
) noexcept nogil
