"""BLAS on one thread during a computation, and in a state that a fork may copy."""

# Count the caller in, and set BLAS to one thread if it is the first; returns what `leave` needs.
cdef long enter() except -1

# Count the caller out; the last one restores the number of threads that `enter` found.
cdef void leave(long generation) noexcept

# Around calls of BLAS without the GIL: a fork waits until none is under way. `begin_products` is
# called with the GIL, `end_products` before it is taken back.
cdef void begin_products() noexcept nogil
cdef void end_products() noexcept nogil
