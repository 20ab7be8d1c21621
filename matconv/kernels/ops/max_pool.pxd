"""MaxPool: the maximum of each window, channel by channel; the first one of equal elements.

    words    window height, width, stride down, right, padding top, bottom, left, right
    saved    the pixel of each maximum, an int
"""

from libc.limits cimport INT_MAX
from libc.string cimport memset

from .._operation cimport (
    BACKWARD, Call, IMAGE, Operation, PIECE_ELEMENTS, Range, Sizes, Step, Value, input_of,
    new_operation, piece_count, piece_length, range_of, set_image,
)
from .._geometry cimport Geometry, geometry_default, geometry_init
from .._pool_loops cimport max_pool, max_pool_backward
from .._status cimport OK, OVERFLOW, PADDING, SIZE
from .._types cimport real


# The entry `shape` of pooling steps. OUT: step.own, output.
cdef inline int window_shape(Step *step, Value *output) noexcept nogil:
    cdef Geometry *g = <Geometry *> step.own
    cdef const Value *Z = input_of(step, 0)
    cdef const Py_ssize_t *word = step.words
    cdef int status
    if Z.rank != IMAGE:
        return SIZE
    geometry_default(g)
    g.l = 1
    g.b, g.a, g.d = Z.height, Z.width, Z.channels
    g.d_out = g.d
    g.h_b, g.h_a = word[0], word[1]
    g.s_b, g.s_a = word[2], word[3]
    g.top, g.bottom, g.left, g.right = word[4], word[5], word[6], word[7]
    status = geometry_init(g)
    if status != OK:
        return status
    if g.top >= g.h_b or g.bottom >= g.h_b or g.left >= g.h_a or g.right >= g.h_a:
        return PADDING
    if g.b > INT_MAX // g.a:
        return OVERFLOW
    set_image(output, g.b_out, g.a_out, g.d)
    return OK


cdef inline int max_pool_sizes(Step *step, Sizes *sizes) noexcept nogil:
    sizes.saved = step.values[step.output].size * <Py_ssize_t> sizeof(int)
    return OK


# Output rows of a piece, in both passes. Windows of output rows r to r' - 1 have input rows
# r s - top to (r' - 1) s - top + h - 1, and those of the piece after the next begin at
# r" s - top. So only adjacent pieces overlap if (r" - r') s >= h - s.
cdef inline Py_ssize_t rows_length(const Step *step) noexcept nogil:
    cdef const Geometry *g = <const Geometry *> step.own
    cdef Py_ssize_t length = piece_length(
        step.images * g.b_out, <double> g.a_out * g.d * g.h_b * g.h_a, PIECE_ELEMENTS
    )
    return max(length, (g.h_b - 1) // g.s_b)


# The output rows of a call.
cdef inline Range rows_of(const Step *step, const Call *call) noexcept nogil:
    return range_of(
        call, call.images * (<const Geometry *> step.own).b_out, rows_length(step)
    )


# Phases of the backward pass: zeros; then all pieces or, if windows overlap, first the even and
# then the odd pieces.
cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef const Geometry *g = <const Geometry *> step.own
    cdef Py_ssize_t pieces = piece_count(step.images * g.b_out, rows_length(step))
    if phase == 0:
        return pieces
    if direction != BACKWARD or pieces == 1:
        return 0
    if g.h_b <= g.s_b:
        return pieces if phase == 1 else 0
    return (pieces + 2 - phase) // 2 if phase <= 2 else 0


# Set a part of dZ to zero, in phase 0 or as a whole. Returns the output rows whose gradients the
# call adds to dZ.
cdef inline Range gradient_rows(const Step *step, const Call *call, real *dZ) noexcept nogil:
    cdef const Geometry *g = <const Geometry *> step.own
    cdef Py_ssize_t n = call.images * input_of(step, 0).size
    cdef Py_ssize_t pieces = split(step, BACKWARD, 0)
    cdef Call part = call[0]
    cdef Range rows
    if call.phase <= 0 and not call.add_input[0]:
        rows = range_of(call, n, (step.images * input_of(step, 0).size + pieces - 1) // pieces)
        memset(dZ + rows.first, 0, (rows.last - rows.first) * sizeof(real))
    if call.phase > 0 and g.h_b > g.s_b:
        part.piece = 2 * call.piece + call.phase - 1
    rows = rows_of(step, &part)
    if call.phase == 0:
        rows.last = rows.first
    return rows


# Z_out = the maxima of the windows of Z. OUT: saved or NULL.
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Geometry g = (<const Geometry *> step.own)[0]
    cdef Range rows = rows_of(step, call)
    g.l = call.images
    max_pool(
        &g, <const real *> call.inputs[0], Z_out, <int *> call.saved, rows.first, rows.last
    )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ = the adjoint of the forward pass, or +=.
cdef inline void backward_real(const Step *step, Call *call, real *dZ) noexcept nogil:
    cdef Geometry g = (<const Geometry *> step.own)[0]
    cdef Range rows = gradient_rows(step, call, dZ)
    g.l = call.images
    max_pool_backward(
        &g, <const real *> call.d_output, <const int *> call.saved, dZ, rows.first, rows.last
    )


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <double *> call.d_inputs[0])
    else:
        backward_real(step, call, <float *> call.d_inputs[0])


# tZ_out = tZ at the maxima, in the rows of a call.
cdef inline void tangent_real(const Step *step, Call *call, real *tZ_out) noexcept nogil:
    cdef const Geometry *g = <const Geometry *> step.own
    cdef Range rows = rows_of(step, call)
    cdef const int *where = <const int *> call.saved
    cdef const real *image
    cdef Py_ssize_t row, k, c
    for row in range(rows.first, rows.last):
        image = <const real *> call.t_inputs[0] + row // g.b_out * g.b * g.a * g.d
        for k in range(row * g.a_out, (row + 1) * g.a_out):
            for c in range(g.d):
                tZ_out[k * g.d + c] = image[where[k * g.d + c] * g.d + c]


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"MaxPool", 1, 1, window_shape, forward, backward)
    table.n_words = 8
    table.own_size = sizeof(Geometry)
    table.sizes = max_pool_sizes
    table.split = split
    table.tangent = tangent
    table.flat = True
    return table
