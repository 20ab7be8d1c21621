"""The plan of a convolution: a geometry, a dtype and the path between them."""

from .geometry cimport Geometry, WindowGeometry


cdef class ConvPlan:
    cdef readonly WindowGeometry geometry
    cdef readonly object dtype
    cdef bint is_double
    cdef Py_ssize_t m_b, m_a        # outputs of a tile of Winograd's path; 0: im2col
    # Numbers of scratch for g's images, guarded: for im2col as well; raises OverflowError.
    cdef Py_ssize_t size_for(self, const Geometry *g, bint backward, bint guarded) except -1
    # Pieces that the forward pass on g's images can be cut into.
    cdef Py_ssize_t count(self, const Geometry *g) noexcept
