"""Atomics, a clock and the process id, for threads without the GIL.

Every access is sequentially consistent. Before a thread sleeps, it sets a flag and then checks for
work again; to wake it, another thread publishes work and then reads the flag. At least one of the
two sees what the other has written only if no store is reordered with a later load. Acquire and
release order would be sufficient elsewhere, but loads cost the same on x86 and ARM, and there are
only a few stores per job.
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
    # Return *p.
    int load "matconv_load"(int *p) noexcept nogil
    # *p = value.
    void store "matconv_store"(int *p, int value) noexcept nogil
    # *p = value; returns the previous value.
    int exchange "matconv_exchange"(int *p, int value) noexcept nogil
    # *p += value; returns the sum.
    int add "matconv_add"(int *p, int value) noexcept nogil
    # `load` and `exchange` for 64 bits.
    unsigned long long load_word "matconv_load_word"(unsigned long long *p) noexcept nogil
    unsigned long long exchange_word "matconv_exchange_word"(
        unsigned long long *p, unsigned long long value
    ) noexcept nogil
    # *p = value if *p == old; returns whether it was.
    bint replace_word "matconv_replace_word"(
        unsigned long long *p, unsigned long long old, unsigned long long value
    ) noexcept nogil
    # `load` and `exchange` for pointers.
    void *load_pointer "matconv_load_pointer"(void **p) noexcept nogil
    void *exchange_pointer "matconv_exchange_pointer"(void **p, void *value) noexcept nogil
    # Hint to the processor, in a loop that waits for another thread to write a variable.
    void pause_cpu "matconv_pause"() noexcept nogil
    # Yield the processor: sleep 20 microseconds, or on Windows only yield.
    void nap "matconv_nap"() noexcept nogil
    # The id of this process.
    long current_process "matconv_process"() noexcept nogil
    # Monotonic time in nanoseconds.
    long long now "matconv_now"() noexcept nogil
