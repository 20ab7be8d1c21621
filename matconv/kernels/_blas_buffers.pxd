"""Buffers that OpenBLAS needs for its products: made while that can fail."""

# Whether so many are known.
cdef bint enough_buffers(int needed) noexcept nogil

# Make the missing ones. Returns False where there is no memory. Not while the process is forked.
cdef bint make_buffers(int needed) noexcept nogil

# In the child of a fork: no other thread is making any.
cdef void forget_making() noexcept nogil
