"""Crop: removes rows and columns at the borders of an image. A second input is not read: the image
whose size the words give.

    words    rows at the top, bottom, columns at the left, right
"""

from libc.string cimport memset

from .._operation cimport (
    BACKWARD, Call, FORWARD, IMAGE, Operation, Range, Step, Value, WHOLE, input_of, new_operation,
    range_of, set_image, tangents_of,
)
from .._status cimport OK, SIZE
from .._types cimport real
from .borders cimport put_inner, rows_length, split_rows, take_inner


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    cdef const Py_ssize_t *word = step.words
    if Z.rank != IMAGE:
        return SIZE
    if word[0] < 0 or word[1] < 0 or word[2] < 0 or word[3] < 0:
        return SIZE
    # without a sum of two words, which may overflow
    if word[0] >= Z.height or word[1] >= Z.height - word[0]:
        return SIZE
    if word[2] >= Z.width or word[3] >= Z.width - word[2]:
        return SIZE
    set_image(
        output, Z.height - word[0] - word[1], Z.width - word[2] - word[3], Z.channels
    )
    return OK


# Z_out = the rows and columns of Z inside of the borders.
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Range rows = range_of(call, call.images * out.height, rows_length(step, FORWARD))
    take_inner(
        input_of(step, 0), out, step.words, rows, False, <const real *> call.inputs[0], Z_out
    )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ = 0 + dZ_out inside of the borders and 0 at the borders, or +=.
cdef inline void backward_real(const Step *step, Call *call, const real *dZ_out) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    cdef Range rows = range_of(call, call.images * Z.height, rows_length(step, BACKWARD))
    cdef Py_ssize_t row = Z.width * Z.channels
    cdef real *dZ = <real *> call.d_inputs[0]
    if not call.add_input[0]:
        memset(dZ + rows.first * row, 0, (rows.last - rows.first) * row * sizeof(real))
    put_inner(Z, &step.values[step.output], step.words, rows, True, dZ_out, dZ)


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    cdef Py_ssize_t item = sizeof(double) if step.is_double else sizeof(float)
    if step.n_inputs == 2 and call.d_inputs[1] != NULL and not call.add_input[1]:
        if call.phase == WHOLE or call.piece == 0:
            memset(call.d_inputs[1], 0, call.images * input_of(step, 1).size * item)
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <const double *> call.d_output)
    else:
        backward_real(step, call, <const float *> call.d_output)


# As the forward pass; 0 if only the second input, which is not read, has a tangent.
cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    cdef Py_ssize_t item = sizeof(double) if step.is_double else sizeof(float)
    cdef Call of_tangents = tangents_of(call)
    if call.t_inputs[0] != NULL:
        forward(step, &of_tangents)
    elif call.phase == WHOLE or call.piece == 0:
        memset(call.t_output, 0, call.images * step.values[step.output].size * item)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Crop", 1, 2, shape, forward, backward)
    table.n_words = 4
    table.split = split_rows
    table.tangent = tangent
    table.flat = True
    return table
