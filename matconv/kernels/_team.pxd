"""Threads that share the pieces of a call, and a watch that stops them all.

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

from ._board cimport Board, Piece
from ._watch cimport (
    Watch, raise_interrupted, watch_current, watch_poll, watch_signals, watch_stop, watch_stopped,
)

# The caller and its helpers, for one call. Only the caller reads it.
cdef struct Team:
    Board *board                # what helpers read; NULL: no helpers
    Watch *watch                # or NULL
    int size

# Gather the caller and n_threads - 1 helpers; fewer where the system has no more threads or no
# memory. Raises MemoryError if there is none for the caller's own products. With the GIL.
cdef int team_open(Team *team, int n_threads, Watch *watch) except -1

# function(argument, k, participant) for k = 0, ..., pieces - 1, taken in this order by the
# participants; returns when no piece is under way any more. team NULL, without helpers or one
# piece: a loop. Returns OK; INTERRUPTED: the watch has stopped, perhaps not every piece has run.
# Called without the GIL. Inside of begin_products and end_products pieces may not take the GIL.
cdef int team_run(Team *team, Piece function, void *argument, Py_ssize_t pieces) noexcept nogil

# The number of participants: the bound of `participant`; 1 for NULL.
cdef int team_size(const Team *team) noexcept nogil

# Give the helpers back. With the GIL, after an error too: an error that is set stays set.
cdef void team_close(Team *team) noexcept
