"""Upsampling without checks, for compiled code."""

from ._types cimport real

cdef enum:
    NEAREST = 0
    BILINEAR = 1            # half-pixel centres
    ALIGNED = 2             # bilinear, with the corners of both images aligned


# Images (b, a, d) that are enlarged to (b f_b, a f_a, d).
cdef struct Upsampling:
    Py_ssize_t b, a, d
    Py_ssize_t f_b, f_a
    int method


# Output rows first to last - 1, counted through all images. IN: Z. OUT: out.
cdef void upsample_rows(
    const Upsampling *u, const real *Z, real *out, Py_ssize_t first, Py_ssize_t last
) noexcept nogil

# The adjoint for images first to last - 1. IN: dOut. INOUT: dZ, added to.
cdef void upsample_adjoint(
    const Upsampling *u, const real *dOut, real *dZ, Py_ssize_t first, Py_ssize_t last
) noexcept nogil
