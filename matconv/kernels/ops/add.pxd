"""Add: the weighted sum of its inputs.

    numbers  a factor for each input
"""

from .._operation cimport (
    Call, Operation, Range, Step, Value, elements_of, input_of, new_operation, same_shape,
    split_elements,
)
from .._status cimport OK, SIZE
from .._types cimport real

cdef enum:
    UNLIMITED = 1 << 30     # maximum number of inputs


# All inputs and the output have the same shape.
cdef inline int shape_of_all(Step *step, Value *output) noexcept nogil:
    cdef int k
    for k in range(1, step.n_inputs):
        if not same_shape(input_of(step, 0), input_of(step, k)):
            return SIZE
    output[0] = input_of(step, 0)[0]
    return OK


# y(n) = factor x, or += if add. IN: x. OUT: y.
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


# Z_out = sum_k factor_k Z_k.
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef int k
    for k in range(step.n_inputs):
        add_multiple(
            part.last - part.first, step.numbers[k],
            <const real *> call.inputs[k] + part.first, k > 0, Z_out + part.first,
        )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ_k = factor_k dZ_out, or +=.
cdef inline void backward_real(const Step *step, Call *call, const real *dZ_out) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef int k
    for k in range(step.n_inputs):
        if call.d_inputs[k] != NULL:
            add_multiple(
                part.last - part.first, step.numbers[k], dZ_out + part.first,
                call.add_input[k], <real *> call.d_inputs[k] + part.first,
            )


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        backward_real(step, call, <const double *> call.d_output)
    else:
        backward_real(step, call, <const float *> call.d_output)


# tZ_out = sum_k factor_k tZ_k.
cdef inline void tangent_real(const Step *step, Call *call, real *tZ_out) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef bint is_first = True
    cdef int k
    for k in range(step.n_inputs):
        if call.t_inputs[k] != NULL:
            add_multiple(
                part.last - part.first, step.numbers[k],
                <const real *> call.t_inputs[k] + part.first, not is_first, tZ_out + part.first,
            )
            is_first = False


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Add", 2, UNLIMITED, shape_of_all, forward, backward)
    table.has_numbers = True
    table.split = split_elements
    table.tangent = tangent
    table.flat = True
    return table
