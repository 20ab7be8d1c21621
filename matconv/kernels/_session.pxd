"""A call from Python that runs passes: what surrounds them.

    cdef Session session
    session_open(&session, n_threads)
    with nogil:
        status = program_predict(graph, &session.how, ...)
        session_end(&session)
    session_close(&session, status)
"""

from ._passes cimport Execution
from ._team cimport Team, Watch

# On the caller's stack, where it stays until it is closed.
cdef struct Session:
    Execution how       # by the whole team, stopped by signals; not shared
    Team team
    Watch watch
    long entered

# BLAS on one thread, the calling thread and n_threads - 1 others or fewer, an eye on signals.
# Nothing is to be closed where this has raised. With the GIL.
cdef int session_open(Session *session, int n_threads) except -1

# The same for a call from C: poll(argument) stops the passes, unless NULL, and no signal does.
cdef int session_open_polled(
    Session *session, int n_threads, int (*poll)(void *) noexcept nogil, void *argument
) except -1

# After the last pass, before the GIL is taken back.
cdef void session_end(Session *session) noexcept nogil

# All as it was. Raises what has interrupted the passes where their status is INTERRUPTED. With the
# GIL.
cdef int session_close(Session *session, int status) except -1
