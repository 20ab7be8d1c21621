"""The plan of a convolution: a geometry, a dtype and the path between them."""

from ._conv_driver cimport Convolution
from ._geometry cimport WindowGeometry


cdef class ConvPlan:
    cdef readonly WindowGeometry geometry
    cdef readonly object dtype
    cdef Convolution c
    # Elements of scratch for a part of c, guarded: for im2col as well; raises OverflowError.
    cdef Py_ssize_t size_for(self, const Convolution *part, bint backward, bint guarded) except -1
