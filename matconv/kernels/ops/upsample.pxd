"""Upsample: images enlarged by integer factors, nearest or bilinear.

    words    factor down, right, method (0 nearest, 1 bilinear, 2 bilinear with aligned corners)
"""

from libc.string cimport memset

from .._operation cimport (
    BACKWARD, Call, FORWARD, IMAGE, Operation, PIECE_ELEMENTS, Range, Step, Value, input_of,
    new_operation, piece_count, piece_length, range_of, set_image, tangents_of,
)
from .._status cimport OK, SIZE
from .._types cimport real
from .._upsample cimport (
    BILINEAR_ALIGNED, NEAREST, Upsampling, upsample_adjoint, upsample_init, upsample_rows,
)


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    cdef const Py_ssize_t *word = step.words
    cdef int status
    if Z.rank != IMAGE or not NEAREST <= word[2] <= BILINEAR_ALIGNED:
        return SIZE
    status = upsample_init(
        1, Z.height, Z.width, Z.channels, word[0], word[1], <int> word[2],
        <Upsampling *> step.own,
    )
    if status == OK:
        set_image(output, Z.height * word[0], Z.width * word[1], Z.channels)
    return status


# Pieces are rows of the output in the forward pass, of the input in the backward pass.
cdef inline Py_ssize_t height_of(const Step *step, int direction) noexcept nogil:
    return input_of(step, 0).height if direction == BACKWARD else step.values[step.output].height


# Rows of a piece.
cdef inline Py_ssize_t rows_length(const Step *step, int direction) noexcept nogil:
    cdef Py_ssize_t height = height_of(step, direction)
    return piece_length(
        step.images * height, <double> step.values[step.output].size / height, PIECE_ELEMENTS
    )


cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef Py_ssize_t rows = step.images * height_of(step, direction)
    return piece_count(rows, rows_length(step, direction)) if phase == 0 else 0


# The rows of a call.
cdef inline Range rows_of(const Step *step, const Call *call, int direction) noexcept nogil:
    return range_of(
        call, call.images * height_of(step, direction), rows_length(step, direction)
    )


cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Range rows = rows_of(step, call, FORWARD)
    upsample_rows(
        <const Upsampling *> step.own, <const real *> call.inputs[0], Z_out, rows.first, rows.last
    )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ = the adjoint of the forward pass, or +=.
cdef inline void backward_real(const Step *step, Call *call, real *dZ) noexcept nogil:
    cdef Range rows = rows_of(step, call, BACKWARD)
    cdef const Value *Z = input_of(step, 0)
    cdef Py_ssize_t row = Z.width * Z.channels
    if not call.add_input[0]:
        memset(dZ + rows.first * row, 0, (rows.last - rows.first) * row * sizeof(real))
    upsample_adjoint(
        <const Upsampling *> step.own, <const real *> call.d_output, dZ, rows.first, rows.last
    )


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <double *> call.d_inputs[0])
    else:
        backward_real(step, call, <float *> call.d_inputs[0])


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    cdef Call of_tangents = tangents_of(call)
    forward(step, &of_tangents)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Upsample", 1, 1, shape, forward, backward)
    table.n_words = 3
    table.own_size = sizeof(Upsampling)
    table.split = split
    table.tangent = tangent
    table.flat = True
    return table
