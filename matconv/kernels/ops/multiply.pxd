"""Multiply: the product of its inputs, element by element."""

from .._operation cimport (
    Call, Operation, Range, Step, elements_of, new_operation, split_elements,
)
from .._types cimport real
from .add cimport UNLIMITED, shape_of_all


# Z_out = prod_k Z_k.
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef Py_ssize_t k
    cdef const real *Z = <const real *> call.inputs[0]
    cdef int i
    for k in range(part.first, part.last):
        Z_out[k] = Z[k]
    for i in range(1, step.n_inputs):
        Z = <const real *> call.inputs[i]
        for k in range(part.first, part.last):
            Z_out[k] *= Z[k]


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ_i = dZ_out prod_{j != i} Z_j, without a division, since elements may be zero.
cdef inline void backward_real(const Step *step, Call *call, const real *dZ_out) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef Py_ssize_t k
    cdef const real *Z
    cdef real *dZ
    cdef real product
    cdef int i, j
    for i in range(step.n_inputs):
        dZ = <real *> call.d_inputs[i]
        if dZ == NULL:
            continue
        for k in range(part.first, part.last):
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
    cdef Operation table = new_operation(b"Multiply", 2, UNLIMITED, shape_of_all, forward, backward)
    table.split = split_elements
    return table
