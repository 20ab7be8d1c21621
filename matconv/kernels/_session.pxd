"""The session of a call that runs passes: threads, a watch, and BLAS on one thread.

    cdef Session session
    session_open(&session, n_threads)
    with nogil:
        status = program_predict(graph, &session.execution, ...)
        session_end(&session)
    session_close(&session, status)
"""

from ._passes cimport Execution
from ._team cimport Team, Watch

# The caller owns the struct, which must not move before it is closed.
cdef struct Session:
    Execution execution     # with the team and the watch; not shared
    Team team
    Watch watch
    long entered        # what `enter` returned

# Open a session: BLAS on one thread, a team of up to n_threads threads, a watch for signals.
# OUT: session; there is nothing to close after an exception. With the GIL.
cdef int session_open(Session *session, int n_threads) except -1

# The same for a call from C, which poll(argument) stops, unless it is NULL; signals do not.
cdef int session_open_polled(
    Session *session, int n_threads, int (*poll)(void *) noexcept nogil, void *argument
) except -1

# End the products. After the last pass, before the GIL is acquired.
cdef void session_end(Session *session) noexcept nogil

# Restore the state before `session_open`. If status is INTERRUPTED, raises the exception that has
# interrupted the passes. With the GIL.
cdef int session_close(Session *session, int status) except -1
