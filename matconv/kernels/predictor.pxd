"""Frozen networks from Python: what a Predictor holds."""

cimport numpy as cnp

from .frozen cimport Frozen


cdef class Predictor:
    cdef object __weakref__
    cdef Frozen *network
    cdef bytes data                 # the exported network, to be pickled
    cdef readonly tuple input_shape, output_shape
    cdef tuple output_shapes, names     # always one for each output
    cdef readonly object dtype

    cdef Py_ssize_t size_for(self, Py_ssize_t n, int n_threads) except -1
    cdef list outputs_of(self, object out, Py_ssize_t n, cnp.ndarray images, object Z)
