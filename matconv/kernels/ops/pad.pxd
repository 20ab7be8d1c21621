"""Pad: adds rows and columns of zeros around an image.

    words    rows at the top, bottom, columns at the left, right
"""

from .._operation cimport (
    BACKWARD, Call, FORWARD, IMAGE, Operation, PIECE_ELEMENTS, Range, Step, Value, input_of,
    new_operation, piece_count, piece_length, range_of, set_image, tangents_of,
)
from .._status cimport OK, OVERFLOW, SIZE
from .._tile cimport add_run, copy_run, zero_run
from .._types cimport real

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    cdef const Py_ssize_t *word = step.words
    cdef int k
    if Z.rank != IMAGE:
        return SIZE
    for k in range(4):
        if word[k] < 0:
            return SIZE
        if word[k] > PY_SSIZE_T_MAX // 4:
            return OVERFLOW
    if Z.height > PY_SSIZE_T_MAX // 4 or Z.width > PY_SSIZE_T_MAX // 4:
        return OVERFLOW
    set_image(
        output, Z.height + word[0] + word[1], Z.width + word[2] + word[3], Z.channels
    )
    return OK


# Pieces are rows of the output in the forward pass, of the input in the backward pass.
cdef inline const Value *rows_value(const Step *step, int direction) noexcept nogil:
    return input_of(step, 0) if direction == BACKWARD else &step.values[step.output]


# Rows of a piece.
cdef inline Py_ssize_t rows_length(const Step *step, int direction) noexcept nogil:
    cdef const Value *value = rows_value(step, direction)
    return piece_length(step.images * value.height, value.size / value.height, PIECE_ELEMENTS)


cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef Py_ssize_t rows = step.images * rows_value(step, direction).height
    return piece_count(rows, rows_length(step, direction)) if phase == 0 else 0


# Z_out = Z inside of the padding and 0 in it.
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    cdef const Value *out = &step.values[step.output]
    cdef Range rows = range_of(call, call.images * out.height, rows_length(step, FORWARD))
    cdef Py_ssize_t row = Z.width * Z.channels, left = step.words[2] * Z.channels, t, y
    cdef Py_ssize_t right = step.words[3] * Z.channels
    Z_out += rows.first * out.width * out.channels
    for t in range(rows.first, rows.last):
        y = t % out.height - step.words[0]
        if 0 <= y < Z.height:
            zero_run(Z_out, left)
            copy_run(
                Z_out + left,
                <const real *> call.inputs[0] + (t // out.height * Z.height + y) * row, row,
            )
            zero_run(Z_out + left + row, right)
        else:
            zero_run(Z_out, left + row + right)
        Z_out += left + row + right


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ = dZ_out inside of the padding, or +=.
cdef inline void backward_real(const Step *step, Call *call, const real *dZ_out) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    cdef const Value *out = &step.values[step.output]
    cdef Range rows = range_of(call, call.images * Z.height, rows_length(step, BACKWARD))
    cdef Py_ssize_t row = Z.width * Z.channels, t, y
    cdef real *dZ
    cdef const real *source
    for t in range(rows.first, rows.last):
        dZ = <real *> call.d_inputs[0] + t * row
        y = t // Z.height * out.height + step.words[0] + t % Z.height
        source = dZ_out + (y * out.width + step.words[2]) * Z.channels
        if call.add_input[0]:
            add_run(dZ, source, row)
        else:
            copy_run(dZ, source, row)


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <const double *> call.d_output)
    else:
        backward_real(step, call, <const float *> call.d_output)


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    cdef Call of_tangents = tangents_of(call)
    forward(step, &of_tangents)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Pad", 1, 1, shape, forward, backward)
    table.n_words = 4
    table.split = split
    table.tangent = tangent
    table.flat = True
    return table
