"""Upsampling without checks, for compiled code."""

from ._types cimport real

cdef extern from "matconv/types.h" nogil:
    enum:
        NEAREST "MATCONV_NEAREST"
        BILINEAR "MATCONV_BILINEAR"
        BILINEAR_ALIGNED "MATCONV_BILINEAR_ALIGNED"


# Images (b, a, d) that are enlarged to (b f_b, a f_a, d).
cdef struct Upsampling:
    Py_ssize_t b, a, d
    Py_ssize_t f_b, f_a
    int method


# Check the sizes for l images. OUT: u. Returns a status.
cdef int upsample_init(
    Py_ssize_t l, Py_ssize_t b, Py_ssize_t a, Py_ssize_t d, Py_ssize_t f_b, Py_ssize_t f_a,
    int method, Upsampling *u,
) noexcept nogil

# Output rows first to last - 1, counted through all images. IN: Z. OUT: out.
cdef void upsample_rows(
    const Upsampling *u, const real *Z, real *out, Py_ssize_t first, Py_ssize_t last
) noexcept nogil

# The adjoint: rows first to last - 1 of dZ, counted through all images. The terms of an element are
# added in the same order for any range of rows. IN: dOut. INOUT: dZ, added to.
cdef void upsample_adjoint(
    const Upsampling *u, const real *dOut, real *dZ, Py_ssize_t first, Py_ssize_t last
) noexcept nogil
