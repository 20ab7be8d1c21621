"""The part of a program's Python class that has no second-order passes."""

from ._program cimport Program as Graph


cdef class FirstOrder:
    cdef object __weakref__
    cdef Graph *graph
    cdef readonly object dtype
    cdef readonly Py_ssize_t n, n_steps
