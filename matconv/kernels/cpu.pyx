"""SIMD variants that the processor supports. This module itself has no variants."""

# The levels of the x86-64 ABI: true if the processor has all instruction sets of the level and the
# operating system saves their registers. setup.py defines MATCONV_VARIANTS if the compiler supports
# the levels.
cdef extern from *:
    """
    #ifdef MATCONV_VARIANTS
    static int runs_avx2(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("x86-64-v3") != 0;
    }
    static int runs_avx512(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("x86-64-v4") != 0;
    }
    #else
    static int runs_avx2(void) { return 0; }
    static int runs_avx512(void) { return 0; }
    #endif
    """
    bint runs_avx2() noexcept
    bint runs_avx512() noexcept


def variants():
    """Return the variants that this processor supports, from the best to "baseline"."""
    avx512 = ("avx512",) if runs_avx512() else ()
    avx2 = ("avx2",) if runs_avx2() else ()
    return (*avx512, *avx2, "baseline")
