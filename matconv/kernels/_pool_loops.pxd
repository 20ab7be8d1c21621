"""Pooling without checks, for compiled code.

All functions are for output rows first to last - 1, counted through all images, l b_out in total.
"""

from ._geometry cimport Geometry
from ._types cimport real


# The maximum of each window, channel by channel: the first NaN if there is one; of equal elements
# the first in row-major order. Padding must be smaller than the window, so that each has a pixel.
# IN: Z (l, b, a, d). OUT: out (l, b_out, a_out, d); where, NULL or of the same shape: the pixel of
# the maximum, q a + p.
cdef void max_pool(
    const Geometry *g, const real *Z, real *out, int *where, Py_ssize_t first, Py_ssize_t last
) noexcept nogil

# The adjoint: dOut is added to dZ at the pixels `where`. IN: dOut, where. INOUT: dZ (l, b, a, d).
cdef void max_pool_backward(
    const Geometry *g, const real *dOut, const int *where, real *dZ, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil

# The mean of each window, channel by channel: the sum of its pixels divided by their number or, if
# counted is not NULL, by that of its pixels in an image with g.top rows above it, g.left columns
# left of it, and counted rows below and columns right of it. IN: Z (l, b, a, d); counted.
# OUT: out (l, b_out, a_out, d).
cdef void avg_pool(
    const Geometry *g, const Py_ssize_t *counted, const real *Z, real *out, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil

# The adjoint. IN: dOut (l, b_out, a_out, d). INOUT: dZ (l, b, a, d).
cdef void avg_pool_backward(
    const Geometry *g, const Py_ssize_t *counted, const real *dOut, real *dZ, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil
