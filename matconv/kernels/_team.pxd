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

# Tells all participants of a call to stop. One per call, in memory of the caller that lives until
# the call ends; `watch_signals` fills it for a call from Python, `watch_poll` for any other.
cdef struct Watch:
    int stopped                 # atomic
    int (*poll)(void *) noexcept nogil  # NULL: nothing to look for; nonzero: stop. Called by the
    void *poll_argument                 # calling thread only, without the GIL
    long long polled            # nanoseconds: the time of the last poll, the caller's
    Watch *outer                # of the call in one of whose pieces this call is made, or NULL

# A piece of work. participant: which of the threads that share the pieces has this one, from 0, the
# caller, to team_size - 1; no two pieces have the same at the same time.
ctypedef void (*Piece)(void *argument, Py_ssize_t piece, int participant) noexcept nogil

cdef struct Board

# The caller and its helpers, for one call. Only the caller reads it.
cdef struct Team:
    Board *board                # what helpers read; NULL: no helpers
    Watch *watch                # or NULL
    int size

# Prepare a watch that looks for signals of Python: for a call by a thread that has the GIL. Before
# a poll takes the GIL, products of the calling thread are counted out.
cdef void watch_signals(Watch *watch) noexcept

# Prepare a watch that asks a function of C, or nothing: poll may be NULL.
cdef void watch_poll(
    Watch *watch, int (*poll)(void *) noexcept nogil, void *argument
) noexcept nogil

# Whether to stop. Called between steps by every participant, without the GIL. watch NULL: never.
# On the calling thread it polls, every 50 ms at most; on a helper it reads the flag.
cdef bint watch_stopped(Watch *watch, bint is_caller) noexcept nogil

# Make watch_stopped true from now on, for all participants.
cdef void watch_stop(Watch *watch) noexcept nogil

# The watch of the call in whose piece the calling thread runs code of Python, or NULL: outside of
# any, or where that call has ended. OUT: is_caller, for `watch_stopped`. With the GIL.
cdef Watch *watch_current(bint *is_caller) noexcept

# Raise what the poll has left after INTERRUPTED: KeyboardInterrupt, or what a signal handler has
# raised. Where the poll has left nothing, because another thread has stopped the call, `Stopped`,
# which `workers.run` takes back. With the GIL.
cdef int raise_interrupted() except -1

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

# For `workers.run` --------------------------------------------------------------------------------

# Where code of Python runs: as which participant of a call. `watch_current` finds it in the context
# of the code. watch is NULL where the call has ended.
cdef class Place:
    cdef object call            # keeps the watch
    cdef Watch *watch
    cdef unsigned long thread   # that has the piece
    cdef bint is_caller

# The context, with the place in it.
cdef object context_at(Place place, object context)

# That of the calling thread, or None.
cdef Place current_place()

# For tests: count the checks of calling threads from now on; that number reports a signal. 0: none
# does; -1: do not count. Returns how many have been counted.
cdef int choose_check(int number)
