"""LRN: local response normalisation over channels, see `_lrn`.

    words    channels of a window
    numbers  k, alpha, beta
"""

from .._lrn cimport (
    Lrn, lrn_backward_rows, lrn_curved_rows, lrn_init, lrn_rows, lrn_scratch, lrn_tangent_rows,
)
from .._operation cimport Call, Operation, Range, Sizes, Step, Value, input_of, new_operation
from .._status cimport OK, OVERFLOW
from .._types cimport real
from .scale cimport pixels_of, split_pixels


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    output[0] = Z[0]
    step.multiply_adds = 4.0 * Z.height * Z.width * Z.channels
    return lrn_init(
        Z.channels, step.words[0], step.numbers[0], step.numbers[1], step.numbers[2],
        <Lrn *> step.own,
    )


cdef inline int sizes(Step *step, Sizes *sizes) noexcept nogil:
    sizes.forward = sizes.backward = lrn_scratch((<const Lrn *> step.own).d)
    return OK if sizes.forward >= 0 else OVERFLOW


cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef const Lrn *lrn = <const Lrn *> step.own
    cdef Range pixels = pixels_of(step, call)
    lrn_rows(
        lrn, pixels.last - pixels.first, <const real *> call.inputs[0] + pixels.first * lrn.d,
        Z_out + pixels.first * lrn.d, <real *> call.scratch,
    )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


cdef inline void backward_real(const Step *step, Call *call, real *dZ) noexcept nogil:
    cdef const Lrn *lrn = <const Lrn *> step.own
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t at = pixels.first * lrn.d
    lrn_backward_rows(
        lrn, pixels.last - pixels.first, <const real *> call.d_output + at,
        <const real *> call.inputs[0] + at, call.add_input[0], dZ + at, <real *> call.scratch,
    )


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <double *> call.d_inputs[0])
    else:
        backward_real(step, call, <float *> call.d_inputs[0])


cdef inline void tangent_real(const Step *step, Call *call, real *tZ_out) noexcept nogil:
    cdef const Lrn *lrn = <const Lrn *> step.own
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t at = pixels.first * lrn.d
    lrn_tangent_rows(
        lrn, pixels.last - pixels.first, <const real *> call.t_inputs[0] + at,
        <const real *> call.inputs[0] + at, tZ_out + at, <real *> call.scratch,
    )


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


cdef inline void tangent_backward_real(const Step *step, Call *call, real *dZ) noexcept nogil:
    cdef const Lrn *lrn = <const Lrn *> step.own
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t at = pixels.first * lrn.d
    lrn_curved_rows(
        lrn, pixels.last - pixels.first, <const real *> call.d_output + at,
        <const real *> call.inputs[0] + at, <const real *> call.t_inputs[0] + at, dZ + at,
        <real *> call.scratch,
    )


cdef inline void tangent_backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL or call.t_inputs[0] == NULL:
        return
    if step.is_double:
        tangent_backward_real(step, call, <double *> call.d_inputs[0])
    else:
        tangent_backward_real(step, call, <float *> call.d_inputs[0])


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"LRN", 1, 1, shape, forward, backward)
    table.n_words = 1
    table.n_numbers = 3
    table.own_size = sizeof(Lrn)
    table.sizes = sizes
    table.split = split_pixels
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table
