"""phi(Z) as a whole, in the order of the notes."""

from ._geometry cimport Geometry
from ._types cimport real


# Whether the number of bytes of phi, in doubles, overflows.
cdef bint phi_overflows(const Geometry *g) noexcept nogil

# phi of all images, with row j h_b h_a + u h_a + v for channel j and pixel (u, v) of the kernel.
# IN: Z (l, b, a, d). OUT: phi (l b_out a_out, d h_b h_a).
cdef void im2col_fill(const Geometry *g, const real *Z, real *phi) noexcept nogil

# The adjoint: vec(Z) += P_phi' vec(phi). IN: phi. INOUT: Z (l, b, a, d).
cdef void col2im_add(const Geometry *g, const real *phi, real *Z) noexcept nogil
