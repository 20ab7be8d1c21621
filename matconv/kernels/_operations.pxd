"""The list of operations."""

from ._operation cimport Operation

# The operation of a name that is `length` bytes long; NULL for an unknown one.
cdef const Operation *find_operation(const char *name, size_t length) noexcept nogil
