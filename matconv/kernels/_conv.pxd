"""The plan of a convolution: a geometry, a dtype and an algorithm."""

from ._conv_driver cimport Convolution
from ._geometry cimport WindowGeometry


cdef class ConvPlan:
    cdef readonly WindowGeometry geometry
    cdef readonly object dtype
    cdef Convolution c
    # Elements of scratch for a part of c; if guarded, for im2col as well. Raises OverflowError.
    cdef Py_ssize_t size_for(self, const Convolution *part, bint backward, bint guarded) except -1

# sigma(S) for arrays that are not checked, by a plan or, if transposed, by the adjoint of it. Z, W
# and S: see `conv2d`; part, parts, scratch: see `forward`.
cdef object forward_by(
    ConvPlan plan, object Z, object W, object b, bint relu, object out, object scratch,
    Py_ssize_t part, Py_ssize_t parts, bint guarded, bint transposed,
)

# The gradients (dZ, dW, db), each None if it is not needed; see `backward`.
cdef object backward_by(
    ConvPlan plan, object dS, object Z, object W, bint need_dZ, bint need_dW, bint need_db,
    object out_dZ, object out_dW, object out_db, object scratch, bint guarded, bint transposed,
)
