"""exp and related functions for loops over elements, without branches, so that they become SIMD.
Constants are cast to the dtype, since Cython writes them as doubles.

x = n log 2 + r with |r| <= log(2) / 2 and an integer n, and e^x = 2^n e^r with the Taylor series of
e^r. The relative error is a few units in the last place, also for subnormal results. NaN is
propagated.
"""

from libc.math cimport fabs
from libc.string cimport memcpy

from ._types cimport real


# 2^n for k = n + 1.5 2^52 (float: 2^23), which has n in its last bits; -1022 <= n <= 1023 (float:
# -126 <= n <= 127).
cdef inline real power_of_two(real k) noexcept nogil:
    cdef unsigned long long bits
    cdef unsigned int bits_float
    if real is double:
        memcpy(&bits, &k, 8)
        bits = (bits + 1023) << 52
        memcpy(&k, &bits, 8)
    else:
        memcpy(&bits_float, &k, 4)
        bits_float = (bits_float + 127) << 23
        memcpy(&k, &bits_float, 4)
    return k


# The constant that `power_of_two` expects: a sum with it is rounded to an integer.
cdef inline real rounder(real _x) noexcept nogil:
    if real is double:
        return 6755399441055744.0
    else:
        return 12582912.0


# r = x - n log 2, where log 2 is a sum whose first term times n is exact.
cdef inline real remainder_of(real x, real n) noexcept nogil:
    if real is double:
        return (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    else:
        return (x - n * <float> 6.9314575195e-01) - n * <float> 1.4286067653e-06


# e^r - 1 for |r| <= log(2) / 2. The first neglected term is below 2e-17 r, or 2e-9 r.
cdef inline real expm1_series(real r) noexcept nogil:
    cdef real p
    if real is double:
        p = 1.0 / 6227020800.0
        p = p * r + 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320
        p = p * r + 1.0 / 5040
    else:
        p = <float> (1.0 / 40320)
        p = p * r + <float> (1.0 / 5040)
    p = p * r + <real> (1.0 / 720)
    p = p * r + <real> (1.0 / 120)
    p = p * r + <real> (1.0 / 24)
    p = p * r + <real> (1.0 / 6)
    p = p * r + <real> 0.5
    return r + r * r * p


# e^x for x <= 0, down to 0.
cdef inline real exp_negative(real x) noexcept nogil:
    cdef real magic = rounder(x), k, n, half, p
    # e^-746 and e^-104 are 0 in the dtypes
    cdef real lowest = -746 if real is double else -104
    x = lowest if x < lowest else x
    k = x * <real> 1.4426950408889634 + magic
    n = k - magic
    p = expm1_series(remainder_of(x, n))
    # in two factors, for 2^n may be subnormal
    half = n * <real> 0.5 + magic
    return (<real> 1 + p) * power_of_two(half) * power_of_two((n - (half - magic)) + magic)


# e^x - 1 for x <= 0.
cdef inline real expm1_negative(real x) noexcept nogil:
    cdef real magic = rounder(x), k, n, scale
    x = <real> -60 if x < -60 else x
    k = x * <real> 1.4426950408889634 + magic
    n = k - magic
    scale = power_of_two(k)
    return scale * expm1_series(remainder_of(x, n)) + (scale - <real> 1)


# log(1 + e) for 0 <= e <= 1: the series of 2 artanh(t) with 1 + f = (1 + t) / (1 - t), where
# 1 + e is 1 + f or 2 (1 + f), so that |t| <= 0.172.
cdef inline real log1p_unit(real e) noexcept nogil:
    cdef bint is_large = e > <real> 0.41421356
    cdef real f = (e - <real> 1) * <real> 0.5 if is_large else e
    cdef real t = f / (<real> 2 + f), z = t * t, p
    if real is double:
        p = 2.0 / 21
        p = p * z + 2.0 / 19
        p = p * z + 2.0 / 17
        p = p * z + 2.0 / 15
        p = p * z + 2.0 / 13
        p = p * z + 2.0 / 11
    else:
        p = <float> (2.0 / 11)
    p = p * z + <real> (2.0 / 9)
    p = p * z + <real> (2.0 / 7)
    p = p * z + <real> (2.0 / 5)
    p = p * z + <real> (2.0 / 3)
    p = t + t + t * z * p
    return p + <real> 0.6931471805599453 if is_large else p


# -|x|, also without a branch.
cdef inline real minus_magnitude(real x) noexcept nogil:
    return -<real> fabs(x)
