"""Pad: adds rows and columns of zeros around an image.

    words    rows at the top, bottom, columns at the left, right
"""

from .._operation cimport (
    BACKWARD, Call, FORWARD, IMAGE, Operation, Range, Step, Value, input_of, new_operation,
    range_of, set_image, tangents_of,
)
from .._status cimport OK, OVERFLOW, SIZE
from .._types cimport real
from .borders cimport put_inner, rows_length, split_rows, take_inner

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


# Z_out = Z inside of the padding and 0 in it.
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Range rows = range_of(call, call.images * out.height, rows_length(step, FORWARD))
    put_inner(
        out, input_of(step, 0), step.words, rows, False, <const real *> call.inputs[0], Z_out
    )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ = dZ_out inside of the padding, or +=.
cdef inline void backward_real(const Step *step, Call *call, const real *dZ_out) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    cdef Range rows = range_of(call, call.images * Z.height, rows_length(step, BACKWARD))
    take_inner(
        &step.values[step.output], Z, step.words, rows, call.add_input[0], dZ_out,
        <real *> call.d_inputs[0],
    )


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
    table.split = split_rows
    table.tangent = tangent
    table.flat = True
    return table
