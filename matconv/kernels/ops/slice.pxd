"""Slice: some of the channels of an image, or of the elements of a vector.

    words    first channel, first channel after the slice
"""

from .._operation cimport (
    Call, Operation, PIECE_ELEMENTS, Range, Step, Value, input_of, new_operation, piece_count,
    piece_length, range_of, tangents_of,
)
from .._status cimport OK, SIZE
from .._tile cimport add_run, copy_run, zero_run
from .._types cimport real


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    if not 0 <= step.words[0] < step.words[1] <= Z.channels:
        return SIZE
    output[0] = Z[0]
    output.channels = step.words[1] - step.words[0]
    return OK


# Pixels of a piece.
cdef inline Py_ssize_t pixels_length(const Step *step) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    return piece_length(step.images * Z.height * Z.width, Z.channels, PIECE_ELEMENTS)


cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    if phase > 0:
        return 0
    return piece_count(step.images * Z.height * Z.width, pixels_length(step))


# The pixels of a call.
cdef inline Range pixels_of(const Step *step, const Call *call) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    return range_of(call, call.images * Z.height * Z.width, pixels_length(step))


# Z_out(pixel, :) = Z(pixel, start : stop).
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = input_of(step, 0).channels, n = step.words[1] - step.words[0], t
    cdef const real *Z = <const real *> call.inputs[0] + step.words[0]
    for t in range(pixels.first, pixels.last):
        copy_run(Z_out + t * n, Z + t * d, n)


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ(pixel, start : stop) = dZ_out(pixel, :) and 0 elsewhere, or +=.
cdef inline void backward_real(const Step *step, Call *call, real *dZ) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = input_of(step, 0).channels, n = step.words[1] - step.words[0], t
    cdef const real *dZ_out = <const real *> call.d_output
    for t in range(pixels.first, pixels.last):
        if call.add_input[0]:
            add_run(dZ + t * d + step.words[0], dZ_out + t * n, n)
        else:
            zero_run(dZ + t * d, step.words[0])
            copy_run(dZ + t * d + step.words[0], dZ_out + t * n, n)
            zero_run(dZ + t * d + step.words[1], d - step.words[1])


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
    cdef Operation table = new_operation(b"Slice", 1, 1, shape, forward, backward)
    table.n_words = 2
    table.split = split
    table.tangent = tangent
    table.flat = True
    return table
