"""A test whether all elements of an array are finite, in one pass over their bits.

All exponent bits of an infinity or a NaN are one; adding one to the exponent then carries into the
sign bit, which was masked out before. Unlike a sum of floats, a bitwise or of integers may be
evaluated in any order, so the compiler can use SIMD. There is no floating-point overflow.
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
    # `all_finite` for one dtype.
    bint finite_f64(Py_ssize_t n, const double *x) noexcept nogil
    bint finite_f32(Py_ssize_t n, const float *x) noexcept nogil


# Whether the n elements of x are finite; true for n = 0. IN: x.
cdef inline bint all_finite(Py_ssize_t n, const real *x) noexcept nogil:
    if real is double:
        return finite_f64(n, x)
    else:
        return finite_f32(n, x)
