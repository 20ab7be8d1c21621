"""Programs from Python."""

from ._program cimport Program as Graph


cdef class Program:
    cdef object __weakref__
    cdef Graph *graph
    cdef readonly object dtype
    cdef readonly Py_ssize_t n, n_steps
