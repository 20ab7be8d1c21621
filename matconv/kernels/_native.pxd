"""Atomics, a clock and the process's number, for threads without the GIL.

Every access is sequentially consistent. To go to sleep, a thread sets a flag, then looks for work
once more; to wake it, another one brings work, then looks at the flag. One of the two sees what the
other has written only if no store may pass a later load. Weaker orders would do elsewhere
(acquire for loads, release for stores), but loads cost the same on x86 and ARM, and what is stored
is stored a few times per job.
"""

cdef extern from *:
    """
    #ifndef MATCONV_NATIVE
    #define MATCONV_NATIVE
    #if defined(_MSC_VER)
    #include <intrin.h>
    #include <process.h>
    #include <windows.h>
    static __inline int matconv_load(int *p) {
        return (int) _InterlockedOr((volatile long *) p, 0);
    }
    static __inline int matconv_exchange(int *p, int x) {
        return (int) _InterlockedExchange((volatile long *) p, x);
    }
    static __inline void matconv_store(int *p, int x) { (void) matconv_exchange(p, x); }
    static __inline int matconv_add(int *p, int x) {
        return (int) _InterlockedExchangeAdd((volatile long *) p, x) + x;
    }
    static __inline unsigned long long matconv_load_word(unsigned long long *p) {
        return (unsigned long long) _InterlockedCompareExchange64((volatile __int64 *) p, 0, 0);
    }
    static __inline int matconv_replace_word(
        unsigned long long *p, unsigned long long old, unsigned long long x
    ) {
        return (unsigned long long) _InterlockedCompareExchange64(
            (volatile __int64 *) p, (__int64) x, (__int64) old) == old;
    }
    static __inline unsigned long long matconv_exchange_word(
        unsigned long long *p, unsigned long long x
    ) {
        unsigned long long old = matconv_load_word(p);
        while (!matconv_replace_word(p, old, x))
            old = matconv_load_word(p);
        return old;
    }
    static __inline void *matconv_exchange_pointer(void **p, void *x) {
        return _InterlockedExchangePointer((void *volatile *) p, x);
    }
    static __inline void *matconv_load_pointer(void **p) {
        return _InterlockedCompareExchangePointer((void *volatile *) p, NULL, NULL);
    }
    #define MATCONV_THREAD_LOCAL __declspec(thread)
    #define matconv_pause() YieldProcessor()
    #define matconv_nap() Sleep(0)
    #define matconv_process() ((long) _getpid())
    static __inline long long matconv_now(void) { return 1000000LL * (long long) GetTickCount64(); }
    #else
    #include <sched.h>
    #include <time.h>
    #include <unistd.h>
    #define matconv_load(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
    #define matconv_store(p, x) __atomic_store_n(p, x, __ATOMIC_SEQ_CST)
    #define matconv_exchange(p, x) __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST)
    #define matconv_add(p, x) __atomic_add_fetch(p, x, __ATOMIC_SEQ_CST)
    #define matconv_load_word(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
    #define matconv_exchange_word(p, x) __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST)
    static inline int matconv_replace_word(
        unsigned long long *p, unsigned long long old, unsigned long long x
    ) {
        return __atomic_compare_exchange_n(p, &old, x, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    #define matconv_load_pointer(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
    #define matconv_exchange_pointer(p, x) __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST)
    #define MATCONV_THREAD_LOCAL static __thread
    #if defined(__x86_64__) || defined(__i386__)
    #define matconv_pause() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define matconv_pause() __asm__ __volatile__("yield")
    #else
    #define matconv_pause() ((void) 0)
    #endif
    #define matconv_process() ((long) getpid())
    static inline void matconv_nap(void) {
        const struct timespec pause = {0, 20000};
        nanosleep(&pause, NULL);
    }
    static inline long long matconv_now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return 1000000000LL * t.tv_sec + t.tv_nsec;
    }
    #endif
    #endif
    """
    int load "matconv_load"(int *p) noexcept nogil
    void store "matconv_store"(int *p, int value) noexcept nogil
    # Returns what was there before.
    int exchange "matconv_exchange"(int *p, int value) noexcept nogil
    # Returns the sum.
    int add "matconv_add"(int *p, int value) noexcept nogil
    unsigned long long load_word "matconv_load_word"(unsigned long long *p) noexcept nogil
    unsigned long long exchange_word "matconv_exchange_word"(
        unsigned long long *p, unsigned long long value
    ) noexcept nogil
    # If `old` is there: replace it. Returns whether it was.
    bint replace_word "matconv_replace_word"(
        unsigned long long *p, unsigned long long old, unsigned long long value
    ) noexcept nogil
    void *load_pointer "matconv_load_pointer"(void **p) noexcept nogil
    void *exchange_pointer "matconv_exchange_pointer"(void **p, void *value) noexcept nogil
    # What a thread does between two looks at a variable that another one writes.
    void pause_cpu "matconv_pause"() noexcept nogil
    # Sleep for a moment.
    void nap "matconv_nap"() noexcept nogil
    # The number of this process.
    long current_process "matconv_process"() noexcept nogil
    # Nanoseconds from some moment on, never backwards.
    long long now "matconv_now"() noexcept nogil
