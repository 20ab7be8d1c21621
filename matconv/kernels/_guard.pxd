"""BLAS on one thread during a computation, with its buffers at hand, in a state a fork may copy."""

# Count the caller in, and set BLAS to one thread if it is the first; returns what `leave` needs.
cdef long enter() except -1

# Count the caller out; the last one restores the number of threads that `enter` found.
cdef void leave(long generation) noexcept

# Around products of the calling thread: a fork waits until none is under way anywhere, and a
# product needs a buffer of BLAS. Pairs may be nested. Between the two the GIL may not be taken,
# except between `pause_products` and `resume_products`.

# With the GIL. Raises MemoryError where there is no memory for a buffer; nothing is to be ended
# then.
cdef int begin_products() except -1

# For a call from C, with or without the GIL. Returns OK, or MEMORY; nothing is to be ended then. A
# fork that has begun does not wait for this call.
cdef int begin_products_from_c() noexcept nogil

# For a thread that `own_buffer` was called for, without the GIL.
cdef void begin_products_of_helper() noexcept nogil

# Without the GIL, or before anything can give it up.
cdef void end_products() noexcept nogil

# Let forks pass although products have begun; returns what `resume_products` needs.
cdef int pause_products() noexcept nogil
cdef void resume_products(int paused) noexcept nogil

# Whether products have begun on this thread.
cdef bint products_have_begun() noexcept nogil

# Make a buffer for a thread that will be started, for as long as it lives. With the GIL. Returns
# whether there is memory for it. `disown_buffer`: there is no such thread any more.
cdef bint own_buffer() noexcept
cdef void disown_buffer() noexcept nogil

# Make sure that a caller's products will find a buffer; raises MemoryError. With the GIL.
cdef int need_buffer() except -1

# The calling thread is the one that `own_buffer` was called for.
cdef void use_own_buffer() noexcept nogil
