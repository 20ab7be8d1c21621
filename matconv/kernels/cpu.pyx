"""SIMD variants that the processor runs. Used before a variant is chosen, so it has none itself."""

# The levels of the x86-64 ABI: each is true when every instruction set of the level is there
# and the operating system saves its registers. setup.py defines MATCONV_VARIANTS when the
# compiler knows the levels.
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
    """The names of the variants that this processor runs, the best first, "baseline" last."""
    avx512 = ("avx512",) if runs_avx512() else ()
    avx2 = ("avx2",) if runs_avx2() else ()
    return (*avx512, *avx2, "baseline")
