"""phi(Z), whole and in the notes' order: the loops."""

from ._geometry cimport Geometry
from ._types cimport real


# Whether phi, in doubles, has more bytes than Py_ssize_t counts.
cdef bint phi_overflows(const Geometry *g) noexcept nogil

# phi(n, K_all) of images in the notes' order: row j hh + u h_a + v for channel j, pixel (u, v).
# IN: Z (l, b, a, d). OUT: phi (l b_out a_out, d h_b h_a).
cdef void im2col_fill(const Geometry *g, const real *Z, real *phi) noexcept nogil

# The adjoint: Z(l, b, a, d) += P_phi' phi. INOUT: Z. IN: phi.
cdef void col2im_add(const Geometry *g, const real *phi, real *Z) noexcept nogil
