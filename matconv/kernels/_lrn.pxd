"""Local response normalisation over the channels of each pixel, and its gradient."""

from ._types cimport real

# y_c = x_c (k + alpha sum_{j in Q(c)} x_j^2)^-beta, Q(c) the channels from c - below to c + above.
cdef struct Lrn:
    Py_ssize_t d                # channels
    Py_ssize_t below, above     # at most d - 1
    double k, alpha, beta

# Set an Lrn with windows of `size` channels, one more above than below if that is even. OUT: lrn.
# Returns OK, or SIZE for arguments out of range.
cdef int lrn_init(
    Py_ssize_t d, Py_ssize_t size, double k, double alpha, double beta, Lrn *lrn
) noexcept nogil

# Elements of scratch of the functions below; -1 if the product overflows.
cdef Py_ssize_t lrn_scratch(Py_ssize_t d) noexcept nogil

# IN: Z(n, d). OUT: Z_out(n, d). SCRATCH: lrn_scratch(d).
cdef void lrn_rows(
    const Lrn *lrn, Py_ssize_t n, const real *Z, real *Z_out, real *scratch
) noexcept nogil

# The gradient for Z, or += if add. IN: dZ_out, Z. OUT: dZ. SCRATCH: lrn_scratch(d).
cdef void lrn_backward_rows(
    const Lrn *lrn, Py_ssize_t n, const real *dZ_out, const real *Z, bint add, real *dZ,
    real *scratch,
) noexcept nogil

# The derivative of Z_out along tZ. IN: tZ, Z. OUT: tZ_out. SCRATCH: lrn_scratch(d).
cdef void lrn_tangent_rows(
    const Lrn *lrn, Py_ssize_t n, const real *tZ, const real *Z, real *tZ_out, real *scratch
) noexcept nogil

# The derivative of dZ of `lrn_backward_rows` along tZ with dZ_out constant, added to dZ. IN:
# dZ_out, Z, tZ. INOUT: dZ. SCRATCH: lrn_scratch(d).
cdef void lrn_curved_rows(
    const Lrn *lrn, Py_ssize_t n, const real *dZ_out, const real *Z, const real *tZ, real *dZ,
    real *scratch,
) noexcept nogil
