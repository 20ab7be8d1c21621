"""Activation: sigma of each element, where sigma is the activation of the step."""

from .._operation cimport (
    Call, Operation, Range, Step, Value, elements_of, input_of, new_operation, split_elements,
)
from .._activation cimport activation_needs_input
from .._bias_relu cimport activation_backward_rows, bias_activation_rows
from .._status cimport OK
from .._tile cimport add_run
from .._types cimport real


# The output has the shape of the first input.
cdef inline int same_as_input(Step *step, Value *output) noexcept nogil:
    output[0] = input_of(step, 0)[0]
    return OK


# Z_out = sigma(Z).
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef const real *Z = <const real *> call.inputs[0]
    bias_activation_rows(
        1, part.last - part.first, Z + part.first, <const real *> NULL, &step.activation,
        Z_out + part.first,
    )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ = sigma' dZ_out, or +=, with sigma' computed from Z_out, or from Z if sigma needs it. dZ_out is
# overwritten in the second case.
cdef inline void backward_real(const Step *step, Call *call, real *dZ_out) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef Py_ssize_t n = part.last - part.first
    cdef const real *Z_out = <const real *> call.output + part.first
    cdef real *dZ = <real *> call.d_inputs[0] + part.first
    cdef bint add = call.add_input[0]
    if activation_needs_input(step.activation.code):
        Z_out = <const real *> call.inputs[0] + part.first
    dZ_out += part.first
    activation_backward_rows(
        1, n, dZ_out, Z_out, &step.activation, dZ_out if add else dZ, <real *> NULL
    )
    if add:
        add_run(dZ, dZ_out, n)


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <double *> call.d_output)
    else:
        backward_real(step, call, <float *> call.d_output)


# tZ_out = sigma' tZ, with sigma' as in the backward pass.
cdef inline void tangent_real(const Step *step, Call *call, real *tZ_out) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef const real *Z_out = <const real *> call.output + part.first
    if activation_needs_input(step.activation.code):
        Z_out = <const real *> call.inputs[0] + part.first
    activation_backward_rows(
        1, part.last - part.first, <const real *> call.t_inputs[0] + part.first, Z_out,
        &step.activation, tZ_out + part.first, <real *> NULL,
    )


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Activation", 1, 1, same_as_input, forward, backward)
    table.fused = table.reads_activated = True
    table.split = split_elements
    table.tangent = tangent
    table.flat = True
    return table
