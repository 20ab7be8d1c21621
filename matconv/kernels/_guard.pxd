"""Guards of a computation: BLAS on one thread, its buffers, and forks."""

# Count the caller in; the first one sets BLAS to one thread. Returns the argument of `leave`. With
# the GIL.
cdef long enter() except -1

# Count the caller out; the last one restores the number of threads that `enter` found. With the
# GIL.
cdef void leave(long generation) noexcept

# Products of the calling thread are enclosed by begin_products*, which ensures that BLAS has a
# buffer, and end_products; a fork waits until no thread is between the two. Pairs may be nested.
# The GIL must not be acquired in between, except between `pause_products` and `resume_products`.

# With the GIL. Raises MemoryError if there is no memory for a buffer; then there is nothing to end.
cdef int begin_products() except -1

# For a call from C, with or without the GIL. Returns OK, or MEMORY; then there is nothing to end. A
# fork that has begun does not wait for this call.
cdef int begin_products_from_c() noexcept nogil

# For a helper, which owns a buffer. Without the GIL.
cdef void begin_products_of_helper() noexcept nogil

# Without the GIL, or before the GIL can be released.
cdef void end_products() noexcept nogil

# Allow forks although products have begun. Returns the argument of `resume_products`.
cdef int pause_products() noexcept nogil

# Continue products after `pause_products`, once no fork is under way. Without the GIL.
cdef void resume_products(int paused) noexcept nogil

# Whether products have begun on this thread.
cdef bint products_have_begun() noexcept nogil

# Make a buffer that a thread which is about to be started will own. Returns whether there is memory
# for it. With the GIL.
cdef bint own_buffer() noexcept

# The thread that `own_buffer` was called for does not exist, or ends.
cdef void disown_buffer() noexcept nogil

# Ensure that there will be a buffer for the products of a caller; raises MemoryError. With the GIL.
cdef int need_buffer() except -1

# Called by the thread that `own_buffer` was called for.
cdef void use_own_buffer() noexcept nogil
