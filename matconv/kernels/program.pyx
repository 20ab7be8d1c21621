"""Programs from Python: a network described by bytes, its passes over arrays."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc

import numpy as np

cimport numpy as cnp

from ._losses cimport loss_value
from ._program cimport (
    Program as CProgram, program_backward, program_close, program_forward, program_open,
    program_plan, program_predict, program_prepare, program_target_gradient,
)
from .guard cimport begin_products, end_products
from .status cimport MEMORY, OK

cnp.import_array()


class ProgramError(ValueError):
    """A description that makes no program.

    Attributes
    ----------
    status : int
        A code of ``matconv/types.h``.
    step : int
        The step that is wrong; -1: the description as a whole.
    """

    def __init__(self, status, step):
        super().__init__(f"status {status} at step {step}")
        self.status = status
        self.step = step


cdef class Program:
    cdef CProgram *p
    cdef readonly object dtype

    def __cinit__(self, const unsigned char[::1] data):
        cdef Py_ssize_t at = 0
        cdef int status
        with nogil:
            status = program_open(&data[0], data.shape[0], &self.p, &at)
        if status == MEMORY:
            raise MemoryError("Program: no memory")
        if status != OK:
            raise ProgramError(status, at)
        self.dtype = np.dtype(np.float64 if self.p.item_size == 8 else np.float32)

    def __dealloc__(self):
        program_close(self.p)

    @property
    def n(self):
        return self.p.n

    def shape(self, Py_ssize_t value):
        if self.p.values[value].rank == 1:
            return (self.p.values[value].channels,)
        return (self.p.values[value].height, self.p.values[value].width, self.p.values[value].channels)

    def places(self, Py_ssize_t step):
        return [
            (self.p.steps[step].array_at[i], self.p.steps[step].array_size[i])
            for i in range(self.p.steps[step].n_arrays)
        ]

    def plan(self, images, usual, target, frozen=False):
        cdef int status = program_plan(self.p, images, usual, target, frozen)
        if status != OK:
            raise ProgramError(status, -1)

    @property
    def sizes(self):
        return self.p.training.bytes, self.p.inference.bytes, self.p.prepared_size

    def prepare(self, cnp.ndarray theta, bint backward):
        cdef cnp.ndarray prepared = np.empty(self.p.prepared_size, self.dtype)
        cdef void *theta_ = cnp.PyArray_DATA(theta)
        cdef void *prepared_ = cnp.PyArray_DATA(prepared)
        with nogil:
            program_prepare(self.p, theta_, prepared_, backward)
        return prepared

    def predict(self, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray Z):
        cdef void *outputs[64]
        cdef Py_ssize_t l = cnp.PyArray_DIM(Z, 0), k
        outs = []
        for k in range(self.p.n_outputs):
            out = np.empty((l, *self.shape(self.p.outputs[k])), self.dtype)
            outputs[k] = cnp.PyArray_DATA(out)
            outs.append(out)
        block = np.empty(self.p.inference.bytes + 64, np.uint8)
        program_predict(
            self.p, cnp.PyArray_DATA(theta), cnp.PyArray_DATA(prepared), l, cnp.PyArray_DATA(Z),
            outputs, cnp.PyArray_DATA(block),
        )
        return tuple(outs)

    def gradient(
        self, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray Z, cnp.ndarray dz, cnp.ndarray dtheta, bint add=False
    ):
        cdef Py_ssize_t l = cnp.PyArray_DIM(Z, 0)
        block = np.empty(self.p.training.bytes + 64, np.uint8)
        cdef void *b = cnp.PyArray_DATA(block)
        cdef void *z = program_forward(
            self.p, cnp.PyArray_DATA(theta), cnp.PyArray_DATA(prepared), l, cnp.PyArray_DATA(Z), b
        )
        cdef char *d = <char *> program_target_gradient(self.p, b)
        cdef Py_ssize_t i
        for i in range(cnp.PyArray_NBYTES(dz)):
            d[i] = (<char *> cnp.PyArray_DATA(dz))[i]
        zz = np.array([(<double *> z)[i] for i in range(cnp.PyArray_SIZE(dz))]).reshape((<object> dz).shape)
        program_backward(
            self.p, cnp.PyArray_DATA(theta), cnp.PyArray_DATA(prepared), l, cnp.PyArray_DATA(Z), b,
            add, cnp.PyArray_DATA(dtheta),
        )
        return zz
