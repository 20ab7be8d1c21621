"""The loops of pooling: what they read and write.

Each runs over rows first to last - 1 of the output, counted through all images: 0, l b_out for all.
"""

from ._geometry cimport Geometry
from ._types cimport real


# The maximum of each window, channel by channel. `x <= best` is false when either is a
# NaN, so that the first NaN is taken and kept; of equal elements the first in row-major order is.
# IN: Z (l, b, a, d). OUT: out (l, b_out, a_out, d); where (the same shape, or NULL): the pixel
# q a + p it came from. Every window has a real pixel: the padding is smaller than the window.
cdef void max_pool(
    const Geometry *g, const real *Z, real *out, int *where, Py_ssize_t first, Py_ssize_t last
) noexcept nogil

# The adjoint: each gradient goes to the pixel that its element came from.
# IN: dOut, where. INOUT: dZ (l, b, a, d).
cdef void max_pool_backward(
    const Geometry *g, const real *dOut, const int *where, real *dZ, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil

# The mean of the real pixels of each window. IN: Z (l, b, a, d). OUT: out (l, b_out, a_out, d).
cdef void avg_pool(
    const Geometry *g, const real *Z, real *out, Py_ssize_t first, Py_ssize_t last
) noexcept nogil

# The adjoint. IN: dOut (l, b_out, a_out, d). INOUT: dZ (l, b, a, d).
cdef void avg_pool_backward(
    const Geometry *g, const real *dOut, real *dZ, Py_ssize_t first, Py_ssize_t last
) noexcept nogil
