"""Which of the two paths a convolution takes, and with which tiles: the one place that says so."""

from ._geometry cimport Geometry

cdef extern from "matconv/types.h" nogil:
    enum:
        AUTO "MATCONV_AUTO"
        IM2COL "MATCONV_IM2COL"
        WINOGRAD "MATCONV_WINOGRAD"


# The tile (m_b, m_a) of Winograd's path, or (0, 0) for im2col. OUT: m_b, m_a.
# By the geometry and the dtype alone. WINOGRAD means im2col too where there are no transforms.
# `prepared`: the filters are transformed once and for all, and only come from memory.
cdef void choose_tile(
    const Geometry *g, bint is_double, int algorithm, bint prepared, Py_ssize_t *m_b,
    Py_ssize_t *m_a,
) noexcept nogil
