"""Surroundings of a computation: BLAS on one thread, numpy silent about floating-point errors.

The shards of a computation already use every core, and a product split over BLAS threads would
have bits that depend on their number. The number of threads belongs to the process, so calls are
counted: the first one sets it, the last one restores it.

Everything here happens in compiled code that runs no Python byte code between setting and
restoring: an interrupt cannot come between the two. The GIL protects the variables below.

A fork copies the locks of BLAS as they are. One that another thread holds at that moment stays
taken in the child for ever, so a fork waits for the products that are under way. Its thread has
the GIL: no other product begins meanwhile.
"""

import os
from contextvars import copy_context

import numpy as np

cdef extern from *:
    """
    #ifdef _WIN32
    /* there is no fork */
    #define add_product(change) ((void) 0)
    #define wait_for_products() ((void) 0)
    #else
    #include <time.h>
    static int products_under_way = 0;
    #define add_product(change) \\
        ((void) __atomic_add_fetch(&products_under_way, change, __ATOMIC_SEQ_CST))
    static void wait_for_products(void) {
        const struct timespec pause = {0, 20000};
        while (__atomic_load_n(&products_under_way, __ATOMIC_SEQ_CST) != 0)
            nanosleep(&pause, NULL);
    }
    #endif
    """
    void add_product(int change) noexcept nogil
    void wait_for_products() noexcept

cdef enum:
    MAX_LIBRARIES = 16

ctypedef int (*GetThreads)() noexcept
ctypedef void (*SetThreads)(int) noexcept

cdef struct Library:
    GetThreads get
    SetThreads set
    int before

cdef Library libraries[MAX_LIBRARIES]
cdef int n_libraries = -1  # not looked for yet
cdef int depth = 0         # computations that are running
cdef long generation = 0   # forks since matconv was imported
cdef bint inherited = False  # a fork found BLAS on one thread; `before` is what to restore

# internal_api of threadpoolctl: names of the functions that get and set the number of threads
_NAMES = {
    "openblas": [
        (f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
        for prefix in ("", "scipy_")
        for suffix in ("", "64_", "_64")
    ],
    "mkl": [("MKL_Get_Max_Threads", "MKL_Set_Num_Threads")],
    "blis": [("bli_thread_get_num_threads", "bli_thread_set_num_threads")],
    "flexiblas": [("flexiblas_get_num_threads", "flexiblas_set_num_threads")],
}


def _addresses():
    """Addresses of the two functions of each BLAS that is loaded."""
    from ctypes import c_void_p, cast

    from threadpoolctl import ThreadpoolController

    found = []
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        for names in _NAMES.get(library.internal_api, ()):
            if all(hasattr(library.dynlib, name) for name in names):
                found.append(
                    tuple(cast(getattr(library.dynlib, name), c_void_p).value for name in names)
                )
                break
    return found


cdef int find_libraries() except -1:
    global n_libraries
    cdef int k
    found = _addresses()[:MAX_LIBRARIES]
    for k, (get, set) in enumerate(found):
        libraries[k].get = <GetThreads> <size_t> get
        libraries[k].set = <SetThreads> <size_t> set
    n_libraries = len(found)
    return 0


cdef void restore() noexcept:
    cdef int k
    for k in range(n_libraries):
        if libraries[k].get() != libraries[k].before:
            libraries[k].set(libraries[k].before)


cdef long enter() except -1:
    global depth
    cdef int k
    if n_libraries < 0:
        find_libraries()
    if depth == 0:
        for k in range(n_libraries):
            if not inherited or libraries[k].get() != 1:
                libraries[k].before = libraries[k].get()
            if libraries[k].before != 1:
                libraries[k].set(1)
    depth += 1
    return generation


cdef void leave(long entered) noexcept:
    global depth, inherited
    if entered != generation:
        return  # a fork came between: the child has counted it out already
    depth -= 1
    if depth == 0:
        restore()
        inherited = False


cdef void begin_products() noexcept nogil:
    add_product(1)


cdef void end_products() noexcept nogil:
    add_product(-1)


def _before_fork():
    wait_for_products()


def _after_fork():
    """In the child: the parent's computations do not run here.

    Setting the number of threads takes a lock of BLAS, which a thread outside of matconv may have
    held: that is left to the end of the child's first computation.
    """
    global depth, generation, inherited
    generation += 1
    if depth:
        inherited = True
    depth = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def silent_context():
    """A copy of the caller's context in which numpy ignores floating-point errors.

    What runs in it leaves the caller's error state as it is, however it ends.

    Returns
    -------
    context : contextvars.Context

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.kernels.guard import silent_context
    >>> before = np.geterr()
    >>> silent_context().run(np.geterr)["divide"], np.geterr() == before
    ('ignore', True)
    """
    context = copy_context()
    context.run(np.seterr, all="ignore")
    return context


def guarded(function, *args, **kwargs):
    """Call a function with BLAS on one thread and floating-point errors ignored.

    Both are restored when it ends, also by an exception, also if an interrupt comes at any moment.
    Calls may be nested, and come from several threads at once.

    Parameters
    ----------
    function : callable
    *args, **kwargs
        Passed on.

    Returns
    -------
    What the function returns.

    Examples
    --------
    >>> from matconv.kernels.guard import guarded
    >>> guarded(divmod, 7, 2)
    (3, 1)
    """
    context = silent_context()
    cdef long entered = enter()
    try:
        return context.run(function, *args, **kwargs)
    finally:
        leave(entered)
