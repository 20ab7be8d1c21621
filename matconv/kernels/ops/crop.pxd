"""Crop: an image without rows and columns at its borders.

    words    rows at the top, bottom, columns at the left, right
"""

from libc.string cimport memset

from .._operation cimport Call, IMAGE, Operation, Step, Value, input_of, set_image
from ..status cimport OK, SIZE
from ..tile cimport add_run, copy_run
from ..types cimport real


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    cdef const Py_ssize_t *word = step.words
    if Z.rank != IMAGE:
        return SIZE
    if word[0] < 0 or word[1] < 0 or word[2] < 0 or word[3] < 0:
        return SIZE
    # no sum of two words that may overflow
    if word[0] >= Z.height or word[1] >= Z.height - word[0]:
        return SIZE
    if word[2] >= Z.width or word[3] >= Z.width - word[2]:
        return SIZE
    set_image(
        output, Z.height - word[0] - word[1], Z.width - word[2] - word[3], Z.channels
    )
    return OK


# Number of the first element of a row of the output in the input.
cdef inline Py_ssize_t row_at(
    const Step *step, Py_ssize_t i, Py_ssize_t y
) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    return ((i * Z.height + step.words[0] + y) * Z.width + step.words[2]) * Z.channels


cdef inline void forward_real(
    const Step *step, Call *call, const real *Z, real *Z_out
) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Py_ssize_t row = out.width * out.channels, i, y
    for i in range(call.images):
        for y in range(out.height):
            copy_run(Z_out, Z + row_at(step, i, y), row)
            Z_out += row


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <const double *> call.inputs[0], <double *> call.output)
    else:
        forward_real(step, call, <const float *> call.inputs[0], <float *> call.output)


cdef inline void backward_real(
    const Step *step, Call *call, const real *dZ_out, real *dZ
) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Py_ssize_t row = out.width * out.channels, i, y
    if not call.add_input[0]:
        memset(dZ, 0, call.images * input_of(step, 0).size * sizeof(real))
    for i in range(call.images):
        for y in range(out.height):
            add_run(dZ + row_at(step, i, y), dZ_out, row)
            dZ_out += row


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(
            step, call, <const double *> call.d_output, <double *> call.d_inputs[0]
        )
    else:
        backward_real(step, call, <const float *> call.d_output, <float *> call.d_inputs[0])


cdef inline Operation operation() noexcept:
    cdef Operation table
    memset(&table, 0, sizeof(Operation))
    table.name = b"Crop"
    table.min_inputs = table.max_inputs = 1
    table.n_words = 4
    table.shape = shape
    table.forward = forward
    table.backward = backward
    return table
