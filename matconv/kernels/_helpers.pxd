"""The thread pool: helpers, native threads that take part in calls and sleep in between."""

from ._queue cimport Helper

# An idle helper, or a new one; NULL if no thread can be started or there is no memory for its
# products. With the GIL.
cdef Helper *find_helper() noexcept

# Return a helper to the list of idle ones, possibly before its thread has left the queue. With the
# GIL.
cdef void return_helper(Helper *helper) noexcept
