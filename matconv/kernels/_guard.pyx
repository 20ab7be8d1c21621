"""Guards of a computation: BLAS on one thread, numpy silent about floating-point errors.

The shards of a computation already use every core, and the bits of a product that BLAS divides
among threads would depend on their number. The number of BLAS threads is a property of the process,
so calls are counted: the first one sets it, the last one restores it.

This is compiled code that runs no Python byte code between setting and restoring, so no interrupt
can occur in between. The GIL protects the variables below, except those that are read by `load`,
which are atomic.

A fork copies the locks of BLAS in their current state. If another thread holds one at that moment,
it is never released in the child. So a fork waits for the products that are under way, and no other
begins meanwhile: a thread first counts itself in and then checks whether a fork waits, while the
fork first announces itself and then reads the count. It waits with the GIL, so a thread that is
counted in must not wait for the GIL.

A product needs a buffer of BLAS, see `_blas_buffers`. Before one begins, there must be as many
buffers as threads that have begun products, or may begin some: the callers, and each helper of the
thread pool.
"""

import os
from contextvars import copy_context

import numpy as np

from ._blas_buffers cimport enough_buffers, forget_making, make_buffers
from ._native cimport add, load, nap, store
from ._status cimport MEMORY, OK

cdef extern from *:
    """
    /* the state of a thread */
    MATCONV_THREAD_LOCAL struct {
        int depth;    /* open pairs of begin_products and end_products */
        int counted;  /* 1: included in products_under_way */
        int callers;  /* its share of `callers` */
        int helper;   /* 1: owns a buffer */
        int forking;  /* 1: about to fork; products of other fork hooks do not wait for this fork */
    } matconv_here;
    """
    struct Here:
        int depth
        int counted
        int callers
        int helper
        int forking
    Here here "matconv_here"

cdef enum:
    MAX_LIBRARIES = 16

ctypedef int (*GetThreads)() noexcept
ctypedef void (*SetThreads)(int) noexcept

cdef struct Library:
    GetThreads get
    SetThreads set
    int before      # number of threads to restore

cdef Library libraries[MAX_LIBRARIES]
cdef int n_libraries = -1  # -1: not yet searched for
cdef int depth = 0         # computations under way
cdef long generation = 0   # forks since matconv was imported
cdef int products_under_way = 0  # atomic: threads between begin and end, which a fork waits for
cdef int forks_under_way = 0     # atomic: forks that wait or have not returned
cdef int callers = 0             # atomic: threads with products that do not own a buffer
cdef int helpers = 0             # atomic: threads that own a buffer
cdef bint inherited = False  # a fork copied BLAS on one thread: `before` is still to be restored

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
    """Return the addresses of the two functions of each BLAS that is loaded."""
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
        return  # in the child of a fork, where it has been counted out already
    depth -= 1
    if depth == 0:
        restore()
        inherited = False


# Count this thread in. Returns false, without counting it, if a fork waits.
cdef bint count_in() noexcept nogil:
    add(&products_under_way, 1)
    if load(&forks_under_way) and not here.forking:
        add(&products_under_way, -1)
        return False
    return True


cdef void wait_for_forks() noexcept nogil:
    while load(&forks_under_way):
        nap()


cdef void count_in_with_gil() noexcept:
    while not count_in():
        with nogil:
            wait_for_forks()


# The number of buffers that must exist before `more` threads begin products.
cdef int needed(int more) noexcept nogil:
    return load(&callers) + load(&helpers) + more


# Count this thread in, once there are buffers for it and `more` others. Returns false if there is
# no memory. With the GIL.
cdef bint count_in_with_buffers(int more) noexcept:
    cdef bint good
    while True:
        count_in_with_gil()
        if enough_buffers(needed(more)):
            return True
        with nogil:
            good = make_buffers(needed(more))
            add(&products_under_way, -1)
        if not good:
            return False


cdef int raise_no_memory() except -1:
    raise MemoryError("matconv: no memory for BLAS's buffers")


cdef int begin_products() except -1:
    if here.depth == 0:
        if here.helper:
            count_in_with_gil()
        else:
            add(&callers, 1)
            if not count_in_with_buffers(0):
                add(&callers, -1)
                raise_no_memory()
            here.callers += 1
        here.counted = True
    here.depth += 1
    return 0


cdef int begin_products_from_c() noexcept nogil:
    cdef bint counted, good
    if here.depth == 0:
        # this thread may hold the GIL, which the fork may need: it must not wait for the fork
        counted = count_in()
        if not here.helper:
            add(&callers, 1)
            good = enough_buffers(needed(0)) or make_buffers(needed(0))
            if not good:
                add(&callers, -1)
                if counted:
                    add(&products_under_way, -1)
                return MEMORY
            here.callers += 1
        here.counted = counted
    here.depth += 1
    return OK


cdef void begin_products_of_helper() noexcept nogil:
    if here.depth == 0:
        while not count_in():
            wait_for_forks()
        here.counted = True
    here.depth += 1


cdef void end_products() noexcept nogil:
    here.depth -= 1
    if here.depth == 0:
        if not here.helper:
            here.callers -= 1
            add(&callers, -1)
        if here.counted:
            add(&products_under_way, -1)


cdef int pause_products() noexcept nogil:
    cdef int depth = here.depth
    here.depth = 0
    if depth and here.counted:
        add(&products_under_way, -1)
    return depth


cdef void resume_products(int paused) noexcept nogil:
    if paused:
        while not count_in():
            wait_for_forks()
        here.counted = True
        here.depth = paused


cdef bint products_have_begun() noexcept nogil:
    return here.depth > 0


cdef bint own_buffer() noexcept:
    # one more for the caller, unless its products have begun
    add(&helpers, 1)
    if not count_in_with_buffers(here.depth == 0 and not here.helper):
        add(&helpers, -1)
        return False
    add(&products_under_way, -1)
    return True


cdef void disown_buffer() noexcept nogil:
    add(&helpers, -1)


cdef int need_buffer() except -1:
    if not count_in_with_buffers(here.depth == 0 and not here.helper):
        raise_no_memory()
    add(&products_under_way, -1)
    return 0


cdef void use_own_buffer() noexcept nogil:
    here.helper = True


def _before_fork():
    here.forking = True
    add(&forks_under_way, 1)
    while load(&products_under_way):
        nap()


def _after_fork_in_parent():
    here.forking = False
    add(&forks_under_way, -1)


def _after_fork():
    """Reset the counts in the child, where the computations of the parent do not run.

    The number of BLAS threads is restored at the end of the child's first computation, not here,
    since that takes a lock of BLAS which a thread outside of matconv may have held.
    """
    global depth, generation, inherited
    here.forking = False
    store(&forks_under_way, 0)
    store(&products_under_way, 0)
    forget_making()
    # only this thread exists
    store(&callers, here.callers)
    store(&helpers, here.helper)
    generation += 1
    if depth:
        inherited = True
    depth = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork
    )


def silent_context():
    """Return a copy of the caller's context in which numpy ignores floating-point errors.

    Code that runs in it does not change the error state of the caller, even if it raises.

    Returns
    -------
    context : contextvars.Context

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.kernels._guard import silent_context
    >>> before = np.geterr()
    >>> silent_context().run(np.geterr)["divide"], np.geterr() == before
    ('ignore', True)
    """
    context = copy_context()
    context.run(np.seterr, all="ignore")
    return context


def guarded(function, *args, **kwargs):
    """Call a function with BLAS on one thread and floating-point errors ignored.

    Both are restored at the end, also after an exception or an interrupt. Calls may be nested, and
    several threads may call at the same time.

    Parameters
    ----------
    function : callable
    *args, **kwargs
        Arguments of the function.

    Returns
    -------
    result : object
        The return value of the function.

    Examples
    --------
    >>> from matconv.kernels._guard import guarded
    >>> guarded(divmod, 7, 2)
    (3, 1)
    """
    context = silent_context()
    cdef long entered = enter()
    try:
        return context.run(function, *args, **kwargs)
    finally:
        leave(entered)
