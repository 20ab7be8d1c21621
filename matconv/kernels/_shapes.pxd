"""Shapes of values as tuples."""

from ._operation cimport Value

# (height, width, channels), or (units,) of a vector.
cdef tuple as_tuple(const Value *value)
