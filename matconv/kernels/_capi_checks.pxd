"""Checks of arguments that functions of the C interface share."""

from ._geometry cimport Geometry, geometry_init, mul_overflows
from ._status cimport NULL_POINTER, OK, OVERFLOW, SCRATCH, SIZE, STRUCT


# Copy a geometry and compute its second block. IN: given. OUT: g. Returns a status.
cdef inline int checked_geometry(const Geometry *given, Geometry *g) noexcept nogil:
    if given == NULL:
        return NULL_POINTER
    if given.struct_size != sizeof(Geometry):
        return STRUCT
    g[0] = given[0]
    return geometry_init(g)


# Sizes of n rows of d elements. Returns a status.
cdef inline int check_rows(Py_ssize_t n, Py_ssize_t d) noexcept nogil:
    # d by itself first, since b and db have d elements also if n = 0
    cdef Py_ssize_t total = 0
    if n < 0 or d < 1:
        return SIZE
    if mul_overflows(d, sizeof(double), &total) or mul_overflows(n, total, &total):
        return OVERFLOW
    return OK


# Whether scratch has the needed elements. Returns a status.
cdef inline int check_scratch(
    Py_ssize_t needed, const void *scratch, Py_ssize_t size
) noexcept nogil:
    if size < needed:
        return SCRATCH
    return NULL_POINTER if needed > 0 and scratch == NULL else OK
