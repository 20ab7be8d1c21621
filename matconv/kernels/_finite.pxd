"""Whether all numbers of an array are finite: one pass over the bits, which no overflow misleads.

An infinity or a NaN has an exponent of ones only; adding one to the exponent then carries into the
sign bit, which was masked out before. Integers, unlike a sum of floats, may be combined in any
order, so the compiler turns the loop into SIMD.
"""

from ._types cimport real

cdef extern from *:
    """
    #ifndef MATCONV_FINITE
    #define MATCONV_FINITE
    #include <stdint.h>
    #include <string.h>

    static int finite_f64(Py_ssize_t n, const double *x)
    {
        uint64_t carried = 0, bits;
        for (Py_ssize_t k = 0; k < n; k++) {
            memcpy(&bits, x + k, sizeof bits);
            carried |= (bits & 0x7ff0000000000000) + 0x0010000000000000;
        }
        return !(carried >> 63);
    }

    static int finite_f32(Py_ssize_t n, const float *x)
    {
        uint32_t carried = 0, bits;
        for (Py_ssize_t k = 0; k < n; k++) {
            memcpy(&bits, x + k, sizeof bits);
            carried |= (bits & 0x7f800000) + 0x00800000;
        }
        return !(carried >> 31);
    }
    #endif
    """
    bint finite_f64(Py_ssize_t n, const double *x) noexcept nogil
    bint finite_f32(Py_ssize_t n, const float *x) noexcept nogil


# Whether the n numbers x are finite; true for none.
cdef inline bint all_finite(Py_ssize_t n, const real *x) noexcept nogil:
    if real is double:
        return finite_f64(n, x)
    else:
        return finite_f32(n, x)
