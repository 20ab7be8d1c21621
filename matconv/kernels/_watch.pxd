"""Watches, which tell all participants of a call to stop."""

# One per call, in memory of the caller that lives until the call ends. Initialized by
# `watch_signals` for a call from Python, by `watch_poll` otherwise.
cdef struct Watch:
    int stopped                 # atomic
    int (*poll)(void *) noexcept nogil  # nonzero: stop; NULL: do not poll. Called by the calling
    void *poll_argument                 # thread only, without the GIL
    long long polled            # time of the last poll, in nanoseconds
    Watch *outer                # the watch of the enclosing call, or NULL

# Initialize a watch that polls for signals of Python. Before a poll acquires the GIL, it pauses the
# products of the calling thread. OUT: watch. With the GIL.
cdef void watch_signals(Watch *watch) noexcept

# Initialize a watch that calls a C function, or does not poll if it is NULL. OUT: watch.
cdef void watch_poll(
    Watch *watch, int (*poll)(void *) noexcept nogil, void *argument
) noexcept nogil

# Whether to stop; false for NULL. Every participant calls this between steps, without the GIL. The
# calling thread also polls, at most every 50 ms.
cdef bint watch_stopped(Watch *watch, bint is_caller) noexcept nogil

# Tell all participants to stop.
cdef void watch_stop(Watch *watch) noexcept nogil

# The watch of the call whose piece, in Python code, the calling thread runs; NULL: there is none,
# or that call has ended. OUT: is_caller, for `watch_stopped`. With the GIL.
cdef Watch *watch_current(bint *is_caller) noexcept

# Raise the exception that the poll has set before INTERRUPTED: KeyboardInterrupt, or that of a
# signal handler. If it has set none, since another thread has stopped the call, raise `Stopped`,
# which `workers.run` catches. With the GIL.
cdef int raise_interrupted() except -1

# In the child of a fork during a call with helpers: stop a watch that polls for signals, and set
# RuntimeError for `raise_interrupted`. Without the GIL.
cdef void watch_forked(Watch *watch) noexcept nogil

# For `workers.run` --------------------------------------------------------------------------------

# The participant of a call that runs Python code. `watch_current` finds it in the context of the
# code.
cdef class Place:
    cdef object call            # owns the watch
    cdef Watch *watch           # NULL: the call has ended
    cdef unsigned long thread   # that runs the piece
    cdef bint is_caller

# Set the place in a context; returns the context.
cdef object context_at(Place place, object context)

# The place of the calling thread, or None.
cdef Place current_place()

# For tests: start to count the checks of calling threads; the check with this number reports a
# signal. 0: no check does; -1: do not count. Returns the previous count.
cdef int choose_check(int number)
