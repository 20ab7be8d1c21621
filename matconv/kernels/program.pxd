"""Programs from Python."""

cimport numpy as cnp

from ._program cimport Program as Graph
from ._session cimport Session


cdef class Program:
    cdef object __weakref__
    cdef Graph *graph
    cdef readonly object dtype
    cdef readonly Py_ssize_t n, n_steps

    cdef int begin(
        self, Session *session, Py_ssize_t l, bint backward, int n_threads, bint shared,
        cnp.ndarray extra,
    ) except -1
    cdef double loss_of(
        self, int code, Py_ssize_t l, const Py_ssize_t *labels, const void *rows, double divisor,
        void *block, void *dz,
    ) noexcept nogil
