"""Watches, which tell all participants of a call to stop."""

from contextvars import ContextVar

from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport PyObject
from libc.string cimport memset

from ._native cimport add, load, now, store
from ._guard cimport pause_products, resume_products

cdef extern from "Python.h":
    # noexcept: an exception stays set, for `raise_interrupted`
    int PyErr_CheckSignals() noexcept
    PyObject *PyErr_Occurred() noexcept
    void PyErr_SetNone(object exception) noexcept
    void PyErr_SetString(object exception, const char *message) noexcept

cdef enum:
    POLL_INTERVAL = 50_000_000  # nanoseconds


class Stopped(BaseException):
    """Raised by compiled code if another thread has stopped the call that it is part of.

    It ends the Python code of a piece, and is caught where the piece ends.
    """


# for tests: while `counting`, checks of calling threads are counted; check `chosen` reports a
# signal
cdef int counting = 0, counted = 0, chosen = 0

# the `Place` of the code that runs in the context
cdef object place_of_context = ContextVar("matconv place", default=None)


cdef class Place:
    """The participant of a call that runs Python code."""

    def __cinit__(self, call, bint is_caller):
        self.call = call
        self.is_caller = is_caller


cdef object context_at(Place place, object context):
    context.run(place_of_context.set, place)
    return context


cdef Place current_place():
    place = place_of_context.get()
    if place is None or (<Place> place).watch == NULL:
        return None
    # a context may have been copied to another thread
    return place if (<Place> place).thread == PyThread_get_thread_ident() else None


cdef Watch *watch_current(bint *is_caller) noexcept:
    cdef Place place = current_place()
    is_caller[0] = place is None or place.is_caller
    return NULL if place is None else place.watch


# The poll of `watch_signals`. Returns nonzero, with an exception set, if a signal handler raises.
cdef int look_for_signals(void *argument) noexcept nogil:
    cdef int paused = pause_products()
    cdef int status
    with gil:
        status = PyErr_CheckSignals()
    resume_products(paused)
    return status


cdef void set_interrupt() noexcept nogil:
    cdef int paused = pause_products()
    with gil:
        PyErr_SetNone(KeyboardInterrupt)
    resume_products(paused)


cdef void watch_forked(Watch *watch) noexcept nogil:
    if watch == NULL or watch.poll != look_for_signals or load(&watch.stopped):
        return
    watch_stop(watch)
    with gil:
        PyErr_SetString(
            RuntimeError,
            b"matconv: a process forked during a computation cannot continue it; its threads "
            b"stayed in the parent",
        )


cdef void watch_poll(
    Watch *watch, int (*poll)(void *) noexcept nogil, void *argument
) noexcept nogil:
    memset(watch, 0, sizeof(Watch))
    watch.poll = poll
    watch.poll_argument = argument
    watch.polled = now()


cdef void watch_signals(Watch *watch) noexcept:
    cdef bint is_caller
    watch_poll(watch, look_for_signals, NULL)
    watch.outer = watch_current(&is_caller)


# For tests: whether this check is the one that reports a signal.
cdef bint is_chosen(const Watch *watch) noexcept nogil:
    if not load(&counting) or watch.poll != look_for_signals:
        return False
    return add(&counted, 1) == load(&chosen)


cdef bint watch_stopped(Watch *watch, bint is_caller) noexcept nogil:
    cdef long long time
    if watch == NULL:
        return False
    if load(&watch.stopped):
        return True
    if watch.outer != NULL and watch_stopped(watch.outer, False):
        watch_stop(watch)
        return True
    if not is_caller or watch.poll == NULL:
        return False
    if is_chosen(watch):
        set_interrupt()
        watch_stop(watch)
        return True
    time = now()
    if time - watch.polled >= POLL_INTERVAL:
        watch.polled = time
        if watch.poll(watch.poll_argument):
            watch_stop(watch)
            return True
    return False


cdef void watch_stop(Watch *watch) noexcept nogil:
    store(&watch.stopped, True)


cdef int raise_interrupted() except -1:
    if PyErr_Occurred() != NULL:
        return -1
    raise Stopped


cdef int choose_check(int number):
    cdef int before = load(&counted)
    store(&counting, False)
    store(&counted, 0)
    store(&chosen, number)
    store(&counting, number >= 0)
    return before
