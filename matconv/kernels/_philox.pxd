"""Philox4x64-10, a counter-based generator of random bits.

A block of four words is a function of a counter of four words and a key of two, so that any block
can be computed without those before it. `numpy.random.Philox` has the same blocks.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(2011).
"""

from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #ifndef MATCONV_HIGH_PRODUCT
    #define MATCONV_HIGH_PRODUCT
    #if defined(_MSC_VER)
    #include <intrin.h>
    #define matconv_high_product(a, b) __umulh(a, b)
    #else
    #define matconv_high_product(a, b) \
        ((uint64_t) (((unsigned __int128) (a) * (b)) >> 64))
    #endif
    #endif
    """
    # the upper 64 bits of the product a b
    uint64_t high_product "matconv_high_product"(uint64_t a, uint64_t b) noexcept nogil


# The block of words of a counter. IN: counter (4,), key (2,). OUT: words (4,).
cdef inline void philox(
    const uint64_t *counter, const uint64_t *key, uint64_t *words
) noexcept nogil:
    cdef uint64_t a = counter[0], b = counter[1], c = counter[2], d = counter[3]
    cdef uint64_t k = key[0], m = key[1], high, low
    cdef int _round
    for _round in range(10):
        high = high_product(0xD2E7470EE14C6C93ULL, a)
        low = 0xD2E7470EE14C6C93ULL * a
        a = high_product(0xCA5A826395121157ULL, c) ^ b ^ k
        b = 0xCA5A826395121157ULL * c
        c = high ^ d ^ m
        d = low
        k += 0x9E3779B97F4A7C15ULL
        m += 0xBB67AE8584CAA73BULL
    words[0], words[1], words[2], words[3] = a, b, c, d
