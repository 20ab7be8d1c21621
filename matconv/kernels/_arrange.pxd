"""Places for buffers in one block of memory: those in use at the same time do not overlap."""

# A buffer: bytes, in use from step `first` to step `last`.
cdef struct Buffer:
    Py_ssize_t size
    Py_ssize_t first, last
    Py_ssize_t at           # where it goes


# The largest buffer first, each at the lowest place that is free for as long as it is in use.
# INOUT: buffers, at. SCRATCH: order, 2 count integers. Returns the bytes of the block, whose
# buffers begin on cache lines; -1 when they would overflow. O(count^2).
cdef Py_ssize_t arrange(Buffer *buffers, Py_ssize_t count, Py_ssize_t *order) noexcept nogil
