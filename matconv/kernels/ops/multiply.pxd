"""Multiply: the product of its inputs, number by number."""

from libc.string cimport memset

from .._operation cimport Call, Operation, Step
from ..types cimport real
from .add cimport MANY, shape_of_all


cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Py_ssize_t n = call.images * step.values[step.output].size, k
    cdef const real *Z = <const real *> call.inputs[0]
    cdef int i
    for k in range(n):
        Z_out[k] = Z[k]
    for i in range(1, step.n_inputs):
        Z = <const real *> call.inputs[i]
        for k in range(n):
            Z_out[k] *= Z[k]


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ_i = dZ_out times all inputs but the i-th, so that a zero among them needs no division.
cdef inline void backward_real(const Step *step, Call *call, const real *dZ_out) noexcept nogil:
    cdef Py_ssize_t n = call.images * step.values[step.output].size, k
    cdef const real *Z
    cdef real *dZ
    cdef real product
    cdef int i, j
    for i in range(step.n_inputs):
        dZ = <real *> call.d_inputs[i]
        if dZ == NULL:
            continue
        for k in range(n):
            product = dZ_out[k]
            for j in range(step.n_inputs):
                if j != i:
                    Z = <const real *> call.inputs[j]
                    product = product * Z[k]
            dZ[k] = dZ[k] + product if call.add_input[i] else product


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        backward_real(step, call, <const double *> call.d_output)
    else:
        backward_real(step, call, <const float *> call.d_output)


cdef inline Operation operation() noexcept:
    cdef Operation table
    memset(&table, 0, sizeof(Operation))
    table.name = b"Multiply"
    table.min_inputs = 2
    table.max_inputs = MANY
    table.shape = shape_of_all
    table.forward = forward
    table.backward = backward
    return table
