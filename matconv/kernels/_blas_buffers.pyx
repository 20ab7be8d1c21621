"""Buffers that OpenBLAS needs for its products, allocated before the products begin.

A product uses the first free buffer in a table of the process. If that entry has no memory yet,
OpenBLAS maps some, and retries for ever if there is none. So as many buffers as may be in use at
once are allocated before, by taking that many from OpenBLAS before any is returned, each after a
check that so much memory can be mapped. With any other BLAS nothing is done.

OpenBLAS ends the process if more buffers are taken than its table has, so the number made here is
limited: beyond it, a product may still have to wait for memory.
"""

from libc.limits cimport INT_MAX
from scipy.linalg.cython_blas cimport dgemm

from ._native cimport exchange, load, nap, store

cdef extern from *:
    """
    static void *(*matconv_take_buffer)(int) = NULL;
    static void (*matconv_give_buffer)(void *) = NULL;
    static size_t matconv_buffer_size = 0;
    static int matconv_max_buffers = 24;

    #ifdef _WIN32
    static int matconv_find_buffers(void *function) { (void) function; return 0; }
    static int matconv_has_memory(void) { return 1; }
    #else
    #include <dlfcn.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    /* Find the functions in the BLAS that defines `function`. The size of a buffer is fixed when
     * OpenBLAS is built: 32 MiB in the wheels of SciPy, whose symbols have a prefix, otherwise at
     * most 256 MiB. It cannot be read from the memory map, where neighbouring mappings are joined,
     * and there may be no memory even for the first buffer. The table has max(50, 2 MAX_THREADS)
     * entries or more. While n buffers are taken here, other threads may use n - 1, and those of
     * OpenBLAS some more: n = 24, or 40 if there are at least 128 entries. */
    static int matconv_find_buffers(void *function) {
        Dl_info info;
        void *library;
        char *(*describe)(void);
        const char *text;
        if (!dladdr(function, &info))
            return 0;
        library = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
        if (library == NULL)
            return 0;
        matconv_take_buffer = (void *(*)(int)) dlsym(library, "blas_memory_alloc");
        matconv_give_buffer = (void (*)(void *)) dlsym(library, "blas_memory_free");
        describe = (char *(*)(void)) dlsym(library, "scipy_openblas_get_config");
        matconv_buffer_size = describe != NULL ? (size_t) 32 << 20 : (size_t) 256 << 20;
        if (describe == NULL)
            describe = (char *(*)(void)) dlsym(library, "openblas_get_config");
        text = describe != NULL ? strstr(describe(), "MAX_THREADS=") : NULL;
        if (text != NULL && atoi(text + strlen("MAX_THREADS=")) >= 64)
            matconv_max_buffers = 40;
        dlclose(library);
        return matconv_take_buffer != NULL && matconv_give_buffer != NULL;
    }
    static int matconv_has_memory(void) {
        /* with a margin for allocations of other threads */
        const size_t size = matconv_buffer_size + ((size_t) 1 << 20);
        const int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
        void *memory = mmap(NULL, size, protection, flags, -1, 0);
        if (memory == MAP_FAILED)
            return 0;
        munmap(memory, size);
        return 1;
    }
    #endif
    """
    bint find_buffers "matconv_find_buffers"(void *function) noexcept nogil
    bint has_memory "matconv_has_memory"() noexcept nogil
    void *take_buffer "matconv_take_buffer"(int) noexcept nogil
    void give_buffer "matconv_give_buffer"(void *) noexcept nogil
    int max_buffers "matconv_max_buffers"

cdef enum:
    MAX_BUFFERS = 40

cdef int known = 0               # number of buffers; INT_MAX: no more are to be made
cdef void *addresses[MAX_BUFFERS]
cdef int making = 0              # a spin lock of `make_buffers`


cdef bint enough_buffers(int needed) noexcept nogil:
    return load(&known) >= needed


# Take buffers until `needed` different ones are known, then return all of them.
cdef bint take_all(int needed) noexcept nogil:
    cdef void *taken[MAX_BUFFERS]
    cdef int n_taken = 0, n = load(&known), k
    cdef bint good = True
    while n < needed and n_taken < MAX_BUFFERS:
        good = has_memory()
        if not good:
            break
        taken[n_taken] = take_buffer(0)
        k = 0
        while k < n and addresses[k] != taken[n_taken]:
            k += 1
        if k == n:
            addresses[n] = taken[n_taken]
            n += 1
        n_taken += 1
    for k in range(n_taken):
        give_buffer(taken[k])
    store(&known, n if n < max_buffers else INT_MAX)
    return good


cdef bint make_buffers(int needed) noexcept nogil:
    cdef bint good = True
    while exchange(&making, 1):
        nap()
    if not enough_buffers(needed):
        if load(&known) == 0 and not find_buffers(<void *> dgemm):
            store(&known, INT_MAX)
        else:
            good = take_all(min(needed, max_buffers))
    store(&making, 0)
    return good


cdef void forget_making() noexcept nogil:
    store(&making, 0)
