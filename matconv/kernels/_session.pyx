"""The session of a call that runs passes: threads, a watch, and BLAS on one thread."""

from libc.string cimport memset

from ._team cimport (
    raise_interrupted, team_close, team_open, watch_current, watch_poll, watch_signals,
)
from ._guard cimport begin_products, end_products, enter, leave
from ._status cimport INTERRUPTED, OK


# INOUT: session; sets its watch.
cdef void watch_for(Session *session, int n_threads) noexcept:
    cdef Execution *execution = &session.execution
    # a pass inside of a piece of another call stops together with that call
    execution.watch = watch_current(&execution.is_caller)
    if execution.watch == NULL or n_threads > 1:
        watch_signals(&session.watch)
        execution.watch, execution.is_caller = &session.watch, True


# Open a session that has a watch. INOUT: session.
cdef int begin(Session *session, int n_threads) except -1:
    session.entered = enter()
    try:
        if n_threads > 1:
            team_open(&session.team, n_threads, session.execution.watch)
            session.execution.team = &session.team
        begin_products()
    except BaseException:
        session_close(session, OK)
        raise
    return 0


cdef int session_open(Session *session, int n_threads) except -1:
    memset(session, 0, sizeof(Session))
    watch_for(session, n_threads)
    return begin(session, n_threads)


cdef int session_open_polled(
    Session *session, int n_threads, int (*poll)(void *) noexcept nogil, void *argument
) except -1:
    memset(session, 0, sizeof(Session))
    watch_poll(&session.watch, poll, argument)
    session.execution.watch, session.execution.is_caller = &session.watch, True
    return begin(session, n_threads)


cdef void session_end(Session *session) noexcept nogil:
    end_products()


cdef int session_close(Session *session, int status) except -1:
    if session.execution.team != NULL:
        team_close(session.execution.team)
    leave(session.entered)
    if status == INTERRUPTED:
        raise_interrupted()
    return 0
