"""The plan of a convolution: a geometry, a dtype and an algorithm."""

from ._conv_driver cimport Convolution
from ._geometry cimport WindowGeometry


cdef class ConvPlan:
    cdef readonly WindowGeometry geometry
    cdef readonly object dtype
    cdef Convolution c
    # Elements of scratch for a part of c; if guarded, for im2col as well. Raises OverflowError.
    cdef Py_ssize_t size_for(self, const Convolution *part, bint backward, bint guarded) except -1
