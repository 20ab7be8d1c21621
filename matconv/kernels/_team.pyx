"""Threads that share the pieces of a call, and a watch that stops them all."""

from cpython.exc cimport PyErr_Occurred
from libc.string cimport memset

from .status cimport INTERRUPTED, OK

cdef struct Board:
    int unused


class Stopped(BaseException):
    """Raised in a piece's code of Python where another thread has stopped the call."""


cdef void watch_signals(Watch *watch) noexcept:
    memset(watch, 0, sizeof(Watch))


cdef void watch_poll(
    Watch *watch, int (*poll)(void *) noexcept nogil, void *argument
) noexcept nogil:
    memset(watch, 0, sizeof(Watch))
    watch.poll = poll
    watch.poll_argument = argument


cdef bint watch_stopped(Watch *watch, bint is_caller) noexcept nogil:
    return watch != NULL and watch.stopped


cdef void watch_stop(Watch *watch) noexcept nogil:
    watch.stopped = True


cdef Watch *watch_current(bint *is_caller) noexcept:
    is_caller[0] = True
    return NULL


cdef int raise_interrupted() except -1:
    if PyErr_Occurred() != NULL:
        return -1
    raise Stopped


cdef int team_open(Team *team, int n_threads, Watch *watch) except -1:
    team.board = NULL
    team.watch = watch
    team.size = 1
    return 0


cdef int team_run(Team *team, Piece function, void *argument, Py_ssize_t pieces) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(pieces):
        if team != NULL and watch_stopped(team.watch, True):
            return INTERRUPTED
        function(argument, k, 0)
    return OK


cdef int team_size(const Team *team) noexcept nogil:
    return 1 if team == NULL else team.size


cdef void team_close(Team *team) noexcept:
    pass
