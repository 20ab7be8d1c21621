"""Upsample: images enlarged by integer factors, nearest or bilinear.

    words    factor down, right, method (0 nearest, 1 bilinear, 2 bilinear with aligned corners)
"""

from libc.string cimport memset

from .._operation cimport (
    BACKWARD, Call, IMAGE, Operation, PIECE_ELEMENTS, Range, Step, Value, input_of,
    new_operation, piece_count, piece_length, range_of, set_image, tangents_of,
)
from .._geometry cimport mul_overflows
from .._status cimport OK, OVERFLOW, SIZE
from .._types cimport real
from .._upsample cimport ALIGNED, NEAREST, Upsampling, upsample_adjoint, upsample_rows


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef Upsampling *u = <Upsampling *> step.own
    cdef const Value *Z = input_of(step, 0)
    cdef const Py_ssize_t *word = step.words
    cdef Py_ssize_t height = 0, width = 0, size = 0
    if Z.rank != IMAGE or word[0] < 1 or word[1] < 1 or not NEAREST <= word[2] <= ALIGNED:
        return SIZE
    u.b, u.a, u.d = Z.height, Z.width, Z.channels
    u.f_b, u.f_a, u.method = word[0], word[1], <int> word[2]
    # twice a row or a column, and the product of its length before and after, do not overflow
    if (
        mul_overflows(u.b, u.f_b, &height) or mul_overflows(u.a, u.f_a, &width)
        or mul_overflows(height, width, &size) or mul_overflows(size, u.d, &size)
        or mul_overflows(size, 16, &size)
        or mul_overflows(height, u.b, &size) or mul_overflows(width, u.a, &size)
    ):
        return OVERFLOW
    set_image(output, height, width, u.d)
    return OK


# Output rows of a piece of the forward pass; images of a piece of the backward pass, where output
# rows overlap in dZ.
cdef inline Py_ssize_t items_length(const Step *step, int direction) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    if direction == BACKWARD:
        return piece_length(step.images, out.size, PIECE_ELEMENTS)
    return piece_length(step.images * out.height, out.width * out.channels, PIECE_ELEMENTS)


cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef Py_ssize_t items = step.images
    if direction != BACKWARD:
        items *= step.values[step.output].height
    return piece_count(items, items_length(step, direction)) if phase == 0 else 0


cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Range rows = range_of(
        call, call.images * step.values[step.output].height, items_length(step, 0)
    )
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
    cdef Range images = range_of(call, call.images, items_length(step, BACKWARD))
    cdef Py_ssize_t size = input_of(step, 0).size
    if not call.add_input[0]:
        memset(dZ + images.first * size, 0, (images.last - images.first) * size * sizeof(real))
    upsample_adjoint(
        <const Upsampling *> step.own, <const real *> call.d_output, dZ, images.first, images.last
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
