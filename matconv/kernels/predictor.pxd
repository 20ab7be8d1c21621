"""Frozen networks from Python: what a Predictor holds."""

from .frozen cimport Frozen


cdef class Predictor:
    cdef Frozen *network
    cdef readonly tuple input_shape, output_shape
    cdef readonly object dtype

    cdef Py_ssize_t size_for(self, Py_ssize_t n) except -1
