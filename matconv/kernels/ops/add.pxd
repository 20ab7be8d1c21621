"""Add: the sum of its inputs, each times a factor.

    numbers  a factor for each input
"""

from libc.string cimport memset

from .._operation cimport Call, Operation, Step, Value, input_of, same_shape
from ..status cimport OK, SIZE
from ..types cimport real

cdef enum:
    MANY = 1 << 30


# The output of a step whose inputs have one shape.
cdef inline int shape_of_all(Step *step, Value *output) noexcept nogil:
    cdef int k
    for k in range(1, step.n_inputs):
        if not same_shape(input_of(step, 0), input_of(step, k)):
            return SIZE
    output[0] = input_of(step, 0)[0]
    return OK


# y = factor x, or y += factor x when add
cdef inline void add_multiple(
    Py_ssize_t n, double factor, const real *x, bint add, real *y
) noexcept nogil:
    cdef Py_ssize_t k
    cdef real c = <real> factor
    if add and factor == 1:
        for k in range(n):
            y[k] += x[k]
    elif add:
        for k in range(n):
            y[k] += c * x[k]
    elif factor == 1:
        for k in range(n):
            y[k] = x[k]
    else:
        for k in range(n):
            y[k] = c * x[k]


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    cdef Py_ssize_t n = call.images * step.values[step.output].size
    cdef int k
    for k in range(step.n_inputs):
        if step.is_double:
            add_multiple(
                n, step.numbers[k], <const double *> call.inputs[k], k > 0,
                <double *> call.output,
            )
        else:
            add_multiple(
                n, step.numbers[k], <const float *> call.inputs[k], k > 0, <float *> call.output
            )


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    cdef Py_ssize_t n = call.images * step.values[step.output].size
    cdef int k
    for k in range(step.n_inputs):
        if call.d_inputs[k] == NULL:
            continue
        if step.is_double:
            add_multiple(
                n, step.numbers[k], <const double *> call.d_output, call.add_input[k],
                <double *> call.d_inputs[k],
            )
        else:
            add_multiple(
                n, step.numbers[k], <const float *> call.d_output, call.add_input[k],
                <float *> call.d_inputs[k],
            )


cdef inline Operation operation() noexcept:
    cdef Operation table
    memset(&table, 0, sizeof(Operation))
    table.name = b"Add"
    table.min_inputs = 2
    table.max_inputs = MANY
    table.has_numbers = True
    table.shape = shape_of_all
    table.forward = forward
    table.backward = backward
    return table
