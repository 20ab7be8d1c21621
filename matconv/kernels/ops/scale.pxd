"""Scale: gain x + bias, a number of each for every channel.

    words    bias (0, 1)
    arrays   gain (d,), bias (d,)
"""

from libc.string cimport memcpy, memset

from .._operation cimport Call, Operation, Step, Value, input_of
from ..status cimport OK, SIZE
from ..types cimport real


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    if not 0 <= step.words[0] <= 1:
        return SIZE
    output[0] = input_of(step, 0)[0]
    step.n_arrays = 1 + <int> step.words[0]
    step.array_size[0] = step.array_size[1] = output.channels
    step.multiply_adds = <double> output.height * output.width * output.channels
    return OK


cdef inline void forward_real(
    const Step *step, Call *call, const real *Z, real *Z_out
) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Py_ssize_t pixels = call.images * out.height * out.width, d = out.channels, _t, c
    cdef const real *gain = <const real *> call.arrays[0]
    cdef const real *bias = NULL
    if step.words[0]:
        bias = <const real *> call.arrays[1]
    for _t in range(pixels):
        if bias == NULL:
            for c in range(d):
                Z_out[c] = gain[c] * Z[c]
        else:
            for c in range(d):
                Z_out[c] = gain[c] * Z[c] + bias[c]
        Z += d
        Z_out += d


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <const double *> call.inputs[0], <double *> call.output)
    else:
        forward_real(step, call, <const float *> call.inputs[0], <float *> call.output)


cdef inline void backward_real(
    const Step *step, Call *call, const real *Z, const real *dZ_out
) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Py_ssize_t pixels = call.images * out.height * out.width, d = out.channels, t, c
    cdef const real *gain = <const real *> call.arrays[0]
    cdef real *dZ = <real *> call.d_inputs[0]
    cdef real *dgain = <real *> call.d_arrays[0]
    cdef real *dbias = NULL
    if step.words[0]:
        dbias = <real *> call.d_arrays[1]
    if dgain != NULL and not call.add_arrays:
        memset(dgain, 0, d * sizeof(real))
    if dbias != NULL and not call.add_arrays:
        memset(dbias, 0, d * sizeof(real))
    for t in range(pixels):
        if dgain != NULL:
            for c in range(d):
                dgain[c] += dZ_out[t * d + c] * Z[t * d + c]
        if dbias != NULL:
            for c in range(d):
                dbias[c] += dZ_out[t * d + c]
        if dZ != NULL and call.add_input[0]:
            for c in range(d):
                dZ[t * d + c] += gain[c] * dZ_out[t * d + c]
        elif dZ != NULL:
            for c in range(d):
                dZ[t * d + c] = gain[c] * dZ_out[t * d + c]


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        backward_real(
            step, call, <const double *> call.inputs[0], <const double *> call.d_output
        )
    else:
        backward_real(step, call, <const float *> call.inputs[0], <const float *> call.d_output)


cdef inline void affine_real(const Step *step, const void **arrays, real *gain, void *bias) \
        noexcept nogil:
    cdef Py_ssize_t nbytes = step.array_size[0] * sizeof(real)
    memcpy(gain, arrays[0], nbytes)
    if step.words[0]:
        memcpy(bias, arrays[1], nbytes)
    else:
        memset(bias, 0, nbytes)


cdef inline int affine(
    const Step *step, const void **arrays, void *gain, void *bias
) noexcept nogil:
    if arrays == NULL:
        return OK
    if step.is_double:
        affine_real(step, arrays, <double *> gain, bias)
    else:
        affine_real(step, arrays, <float *> gain, bias)
    return OK


cdef inline Operation operation() noexcept:
    cdef Operation table
    memset(&table, 0, sizeof(Operation))
    table.name = b"Scale"
    table.min_inputs = table.max_inputs = 1
    table.n_words = 1
    table.shape = shape
    table.forward = forward
    table.backward = backward
    table.affine = affine
    return table
