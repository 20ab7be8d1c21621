"""Convolution of images so small that most of phi is padding: one product per tap that is not."""

from ._geometry cimport Geometry
from ._types cimport real


# Pairs of an output position and a tap of the filter that meet in a pixel: columns of phi times
# rows, without the zeros. O(h_b b_out + h_a a_out).
cdef Py_ssize_t taps_count(const Geometry *g) noexcept nogil

# Whether this beats gathering phi.
cdef bint taps_pay(const Geometry *g) noexcept nogil

# S = W phi(Z) at output positions first to last - 1, of all images.
# IN: Z, W_tile in the tile's order (K, d_out). OUT: S. No aliasing.
cdef void taps_forward(
    const Geometry *g, const real *Z, const real *W_tile, real *S, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil

# dZ, or dZ += when add. IN: dS, W_turned (d_out, K), W' of the tile's order, rows row_W apart.
# OUT: dZ.
cdef void taps_images(
    const Geometry *g, const real *dS, const real *W_turned, Py_ssize_t row_W, bint add, real *dZ
) noexcept nogil

# dW in the tile's order (K, d_out), or dW += when add. IN: dS, Z. OUT: dW_tile.
cdef void taps_filters(
    const Geometry *g, const real *dS, const real *Z, bint add, real *dW_tile
) noexcept nogil
