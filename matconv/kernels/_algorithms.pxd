"""The choice of the algorithm of a convolution, and of the tiles of Winograd's algorithm."""

from ._geometry cimport Geometry

cdef extern from "matconv/types.h" nogil:
    enum:
        AUTO "MATCONV_AUTO"
        IM2COL "MATCONV_IM2COL"
        WINOGRAD "MATCONV_WINOGRAD"


# The tile (m_b, m_a) for Winograd's algorithm, (0, 0) for im2col, or (DIRECT, DIRECT) for the loops
# of `_conv_direct`, which only AUTO chooses. OUT: m_b, m_a. Depends only on
# the geometry and the dtype. WINOGRAD also means im2col if there are no transforms.
# prepared: the filters are prepared once, so that only the cost of reading them counts.
cdef void choose_tile(
    const Geometry *g, bint is_double, int algorithm, bint prepared, Py_ssize_t *m_b,
    Py_ssize_t *m_a,
) noexcept nogil
