"""Layout of buffers in one block of memory; those in use at the same time do not overlap."""

cdef struct Buffer:
    Py_ssize_t size         # bytes
    Py_ssize_t first, last  # steps: the first and the last in which it is in use
    Py_ssize_t at           # offset in the block


# Each buffer, from the largest to the smallest, is put at the lowest offset that is free while it
# is in use. INOUT: buffers, of which `at` is set, a multiple of a cache line. SCRATCH: order, 2
# count integers. Returns the bytes of the block; -1 on overflow. O(count^2).
cdef Py_ssize_t arrange(Buffer *buffers, Py_ssize_t count, Py_ssize_t *order) noexcept nogil
