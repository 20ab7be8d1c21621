"""Where a sleeping thread wakes up: not on the processor of the thread that wakes it.

Linux often wakes a thread on the processor of the waker, above all in a virtual machine, where it
takes a processor that is halted for one that is not available. The two threads then share a
processor for some milliseconds, until the load is balanced, while another one is idle. So a thread
is woken with the waker's processor excluded from its affinity, and restores it as soon as it runs.
Elsewhere these functions do nothing.
"""

cdef extern from *:
    """
    #ifndef MATCONV_PLACING
    #define MATCONV_PLACING
    #if defined(__linux__)
    #include <sched.h>
    #endif
    #if defined(__linux__) && defined(CPU_COUNT)
    #include <sys/syscall.h>
    #include <unistd.h>
    typedef struct { int thread, changed; cpu_set_t affinity; } matconv_Place;
    static inline void matconv_know(matconv_Place *place) {
        place->thread = (int) syscall(SYS_gettid);
    }
    static inline void matconv_exclude(matconv_Place *place) {
        const int cpu = sched_getcpu(), thread = place->thread;
        cpu_set_t others;
        if (thread == 0 || cpu < 0 || cpu >= CPU_SETSIZE
            || sched_getaffinity(thread, sizeof(cpu_set_t), &place->affinity))
            return;
        others = place->affinity;
        CPU_CLR(cpu, &others);
        if (CPU_COUNT(&others) > 0 && !CPU_EQUAL(&others, &place->affinity))
            place->changed = !sched_setaffinity(thread, sizeof(cpu_set_t), &others);
    }
    static inline void matconv_restore(matconv_Place *place) {
        if (place->changed)
            (void) sched_setaffinity(0, sizeof(cpu_set_t), &place->affinity);
        place->changed = 0;
    }
    #else
    typedef struct { int thread, changed; } matconv_Place;
    #define matconv_know(place) ((void) (place))
    #define matconv_exclude(place) ((void) (place))
    #define matconv_restore(place) ((void) (place))
    #endif
    #endif
    """
    # All 0 at first.
    ctypedef struct Place "matconv_Place":
        pass
    # Note which thread it is: the calling one, before it sleeps for the first time.
    void know_thread "matconv_know"(Place *place) noexcept nogil
    # Exclude the calling thread's processor from the affinity of the thread, which sleeps.
    void exclude_own_cpu "matconv_exclude"(Place *place) noexcept nogil
    # The affinity as it was before `exclude_own_cpu`; the calling thread's, after it has slept.
    void restore_affinity "matconv_restore"(Place *place) noexcept nogil
