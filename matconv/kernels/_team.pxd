"""Threads that share the pieces of a call, and a watch that can stop all of them.

    cdef Team team
    cdef Watch watch
    watch_signals(&watch)
    team_open(&team, n_threads, &watch)
    with nogil:
        status = team_run(&team, function, argument, pieces)      # any number of times
    team_close(&team)
    if status == INTERRUPTED:
        raise_interrupted()
"""

from ._queue cimport Queue, Piece
from ._watch cimport (
    Watch, raise_interrupted, watch_current, watch_poll, watch_signals, watch_stop, watch_stopped,
)

# The calling thread and its helpers, for one call. Helpers do not read it.
cdef struct Team:
    Queue *queue                # shared with the helpers; NULL: no helpers
    Watch *watch                # or NULL
    int size                    # number of participants

# Make a team of the calling thread and n_threads - 1 helpers, or fewer if no thread can be started
# or memory is short. OUT: team. Raises MemoryError if the calling thread itself has no memory for
# products. With the GIL.
cdef int team_open(Team *team, int n_threads, Watch *watch) except -1

# Call function(argument, k, participant) for k = 0, ..., pieces - 1, in the order in which the
# participants take them, and wait for all. Without a team or helpers, or for one piece: a loop.
# Returns OK, or INTERRUPTED if the watch has stopped; then pieces may not have run. Without the
# GIL; between begin_products and end_products pieces must not acquire the GIL.
cdef int team_run(Team *team, Piece function, void *argument, Py_ssize_t pieces) noexcept nogil

# The number of participants; 1 for NULL.
cdef int team_size(const Team *team) noexcept nogil

# Return the helpers to the thread pool. With the GIL; keeps an exception that is set.
cdef void team_close(Team *team) noexcept
