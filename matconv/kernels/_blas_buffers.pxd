"""Buffers that OpenBLAS needs for its products, allocated before the products begin."""

# Whether this number of buffers is known to exist.
cdef bint enough_buffers(int needed) noexcept nogil

# Allocate the missing buffers. Returns false if there is no memory. Not during a fork.
cdef bint make_buffers(int needed) noexcept nogil

# In the child of a fork: reset the lock of `make_buffers`, which no thread holds.
cdef void forget_making() noexcept nogil
