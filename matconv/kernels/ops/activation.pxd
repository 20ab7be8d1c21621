"""Activation: sigma of each number; which one says the record of the step."""

from libc.string cimport memset

from .._operation cimport Call, Operation, Step, Value, input_of
from ..bias_relu cimport activation_backward_rows, bias_activation_rows
from ..status cimport OK
from ..tile cimport add_run
from ..types cimport real


# The output of an elementwise step has the shape of its first input.
cdef inline int same_as_input(Step *step, Value *output) noexcept nogil:
    output[0] = input_of(step, 0)[0]
    return OK


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    cdef Py_ssize_t n = call.images * step.values[step.output].size
    if step.is_double:
        bias_activation_rows(
            1, n, <const double *> call.inputs[0], <const double *> NULL, &step.activation,
            <double *> call.output,
        )
    else:
        bias_activation_rows(
            1, n, <const float *> call.inputs[0], <const float *> NULL, &step.activation,
            <float *> call.output,
        )


cdef inline void backward_real(
    const Step *step, Call *call, real *dZ_out, const real *Z_out, real *dZ
) noexcept nogil:
    cdef Py_ssize_t n = call.images * step.values[step.output].size
    cdef bint add = call.add_input[0]
    activation_backward_rows(
        1, n, dZ_out, Z_out, &step.activation, dZ_out if add else dZ, <real *> NULL
    )
    if add:
        add_run(dZ, dZ_out, n)


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(
            step, call, <double *> call.d_output, <const double *> call.output,
            <double *> call.d_inputs[0],
        )
    else:
        backward_real(
            step, call, <float *> call.d_output, <const float *> call.output,
            <float *> call.d_inputs[0],
        )


cdef inline Operation operation() noexcept:
    cdef Operation table
    memset(&table, 0, sizeof(Operation))
    table.name = b"Activation"
    table.min_inputs = table.max_inputs = 1
    table.fused = True
    table.shape = same_as_input
    table.forward = forward
    table.backward = backward
    return table
