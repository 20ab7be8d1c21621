"""Concat: concatenation of its inputs along the channels, or of vectors."""

from .._operation cimport (
    Call, Operation, PIECE_ELEMENTS, Range, Step, Value, input_of, new_operation, piece_count,
    piece_length, range_of,
)
from .._status cimport OK, OVERFLOW, SIZE
from .._tile cimport add_run, copy_run, zero_run
from .._types cimport real
from .add cimport UNLIMITED

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef const Value *first = input_of(step, 0)
    cdef const Value *other
    cdef int k
    output[0] = first[0]
    for k in range(1, step.n_inputs):
        other = input_of(step, k)
        if (
            other.rank != first.rank or other.height != first.height
            or other.width != first.width
        ):
            return SIZE
        if other.channels > PY_SSIZE_T_MAX - output.channels:
            return OVERFLOW
        output.channels += other.channels
    return OK


# Pixels of a piece.
cdef inline Py_ssize_t pixels_length(const Step *step) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    return piece_length(step.images * out.height * out.width, out.channels, PIECE_ELEMENTS)


cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    if phase > 0:
        return 0
    return piece_count(step.images * out.height * out.width, pixels_length(step))


# The pixels of a call.
cdef inline Range pixels_of(const Step *step, const Call *call) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    return range_of(call, call.images * out.height * out.width, pixels_length(step))


# Z_out(pixel, at : at + d) = Z_k(pixel, :) for each input k.
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t t, d, at = 0
    cdef const real *Z
    cdef int k
    for k in range(step.n_inputs):
        d = input_of(step, k).channels
        Z = <const real *> call.inputs[k]
        for t in range(pixels.first, pixels.last):
            copy_run(Z_out + t * out.channels + at, Z + t * d, d)
        at += d


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ_k(pixel, :) = dZ_out(pixel, at : at + d), or +=, for each input k.
cdef inline void backward_real(const Step *step, Call *call, const real *dZ_out) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t t, d, at = 0
    cdef real *dZ
    cdef int k
    for k in range(step.n_inputs):
        d = input_of(step, k).channels
        dZ = <real *> call.d_inputs[k]
        if dZ != NULL:
            for t in range(pixels.first, pixels.last):
                if call.add_input[k]:
                    add_run(dZ + t * d, dZ_out + t * out.channels + at, d)
                else:
                    copy_run(dZ + t * d, dZ_out + t * out.channels + at, d)
        at += d


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        backward_real(step, call, <const double *> call.d_output)
    else:
        backward_real(step, call, <const float *> call.d_output)


# tZ_out(pixel, at : at + d) = tZ_k(pixel, :) for each input k.
cdef inline void tangent_real(const Step *step, Call *call, real *tZ_out) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t t, d, at = 0
    cdef const real *tZ
    cdef int k
    for k in range(step.n_inputs):
        d = input_of(step, k).channels
        tZ = <const real *> call.t_inputs[k]
        for t in range(pixels.first, pixels.last):
            if tZ == NULL:
                zero_run(tZ_out + t * out.channels + at, d)
            else:
                copy_run(tZ_out + t * out.channels + at, tZ + t * d, d)
        at += d


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Concat", 2, UNLIMITED, shape, forward, backward)
    table.split = split
    table.tangent = tangent
    table.flat = True
    return table
