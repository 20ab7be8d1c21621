"""Helpers: native threads that take part in calls, and sleep in between."""

from ._board cimport Helper

# An idle helper, or a new one; NULL where the system has no more threads, or no memory for their
# products. With the GIL.
cdef Helper *find_helper() noexcept

# It is idle again, though it may not know yet. With the GIL.
cdef void give_back(Helper *helper) noexcept
