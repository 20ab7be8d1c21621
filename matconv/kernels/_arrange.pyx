"""Layout of buffers in one block of memory; those in use at the same time do not overlap."""

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    LINE = 64


cdef inline Py_ssize_t rounded(Py_ssize_t size) noexcept nogil:
    return (size + LINE - 1) // LINE * LINE


cdef Py_ssize_t arrange(Buffer *buffers, Py_ssize_t count, Py_ssize_t *order) noexcept nogil:
    cdef Py_ssize_t *by_size = order            # indices, in descending order of size
    cdef Py_ssize_t *by_offset = order + count  # of those with an offset, in ascending order of it
    cdef Py_ssize_t placed, i, j, k, at, total = 0
    cdef const Buffer *other
    for i in range(count):
        j = i
        while j > 0 and buffers[by_size[j - 1]].size < buffers[i].size:
            by_size[j] = by_size[j - 1]
            j -= 1
        by_size[j] = i
    for placed in range(count):
        k = by_size[placed]
        at = 0
        for j in range(placed):
            other = &buffers[by_offset[j]]
            if other.last < buffers[k].first or other.first > buffers[k].last:
                continue
            if buffers[k].size <= other.at - at:
                break
            at = max(at, other.at + rounded(other.size))
        if buffers[k].size > PY_SSIZE_T_MAX - LINE - at:
            return -1
        buffers[k].at = at
        total = max(total, at + rounded(buffers[k].size))
        j = placed
        while j > 0 and buffers[by_offset[j - 1]].at > at:
            by_offset[j] = by_offset[j - 1]
            j -= 1
        by_offset[j] = k
    return total
