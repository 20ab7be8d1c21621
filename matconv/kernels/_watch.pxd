"""Watches: what tells all participants of a call to stop, and where Python code finds its own."""

# Tells all participants of a call to stop. One per call, in memory of the caller that lives until
# the call ends; `watch_signals` fills it for a call from Python, `watch_poll` for any other.
cdef struct Watch:
    int stopped                 # atomic
    int (*poll)(void *) noexcept nogil  # NULL: nothing to look for; nonzero: stop. Called by the
    void *poll_argument                 # calling thread only, without the GIL
    long long polled            # nanoseconds: the time of the last poll, the caller's
    Watch *outer                # of the call in one of whose pieces this call is made, or NULL

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

# In a fork's child whose call had helpers: stop a watch that looks for signals, and leave
# RuntimeError for `raise_interrupted`. Without the GIL.
cdef void watch_forked(Watch *watch) noexcept nogil

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
