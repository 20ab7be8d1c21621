"""Shapes of values as tuples."""

from ._operation cimport Value

# (height, width, channels), or (units,) for a vector. IN: value.
cdef tuple as_tuple(const Value *value)
