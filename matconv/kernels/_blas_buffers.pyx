"""Buffers that OpenBLAS needs for its products: made while that can fail.

A product takes the first buffer that no other one has, from a table of the process. Where that
entry has no memory yet, OpenBLAS maps some, and tries for ever if there is none. So buffers are
made before products begin, as many as may be in use at once: by taking that many without giving one
back, each after a look whether so much memory can be mapped. With any other BLAS nothing is done.

OpenBLAS ends the process where more buffers are taken than it has, so only some are made: beyond
them a product may still have to wait for memory.
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
    /* The functions of the BLAS that the module with this function is linked with. The size of a
     * buffer is fixed when OpenBLAS is built: 32 MiB in the wheels of SciPy, whose names have a
     * prefix; elsewhere at most 256 MiB. One that is mapped does not tell it, since the kernel
     * joins neighbours, and it would be too late: the first one may be the one that there is no
     * memory for. The number of buffers is max(50, 2 MAX_THREADS) or more. While n are taken,
     * others may have n - 1, and the threads of OpenBLAS some: n = 24, or 40 of at least 128. */
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
        /* a little more than the buffer, for what another thread may take meanwhile */
        const size_t size = matconv_buffer_size + ((size_t) 1 << 20);
        const int how = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_ANONYMOUS;
        void *memory = mmap(NULL, size, how, kind, -1, 0);
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

cdef int known = 0               # buffers; INT_MAX: there is nothing more to do
cdef void *addresses[MAX_BUFFERS]
cdef int making = 0              # whether a thread is in `make_buffers`


cdef bint enough_buffers(int needed) noexcept nogil:
    return load(&known) >= needed


# Take buffers until so many are known, each of them once; then give them back.
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
