"""The list of operations."""

from ._operation cimport Operation

# The operation of a name of `length` bytes; NULL if there is none.
cdef const Operation *find_operation(const char *name, size_t length) noexcept nogil
