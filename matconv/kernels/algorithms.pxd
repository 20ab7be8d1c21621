"""Which of the two paths a convolution takes, and with which tiles: the one place that says so."""

from .geometry cimport Geometry

cdef enum Algorithm:
    AUTO
    IM2COL
    WINOGRAD


# The tile (m_b, m_a) of Winograd's path, or (0, 0) for im2col. OUT: m_b, m_a.
# By the geometry and the dtype alone. WINOGRAD means im2col too where there are no transforms.
cdef void choose_tile(
    const Geometry *g, bint is_double, Algorithm algorithm, Py_ssize_t *m_b, Py_ssize_t *m_a
) noexcept nogil
