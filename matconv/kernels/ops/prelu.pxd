"""PReLU: x where x > 0, otherwise slope x, with a slope for each channel.

    arrays   slope (d,)
"""

from libc.string cimport memset

from .._operation cimport (
    Call, Operation, PIECE_ELEMENTS, Range, Sizes, Step, Value, WHOLE, input_of, new_operation,
    piece_bound,
)
from .._status cimport OK
from .._tile cimport add_run
from .._types cimport real
from .scale cimport pixel_pieces, pixels_of, split


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    output[0] = input_of(step, 0)[0]
    step.n_arrays = 1
    step.array_size[0] = output.channels
    step.multiply_adds = <double> output.height * output.width * output.channels
    return OK


cdef inline int sizes(Step *step, Sizes *sizes) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Py_ssize_t pieces = piece_bound(
        step.images * out.height * out.width, out.channels, PIECE_ELEMENTS
    )
    if pieces > 1:
        sizes.shared_backward = pieces * step.array_size[0]
    return OK


cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = step.array_size[0], t, c
    cdef const real *slope = <const real *> call.arrays[0]
    cdef const real *Z
    cdef real below
    for t in range(pixels.first, pixels.last):
        Z = <const real *> call.inputs[0] + t * d
        for c in range(d):
            below = slope[c] * Z[c]
            Z_out[t * d + c] = below if Z[c] <= 0 else Z[c]


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dslope(d) += sum of Z dZ_out over pixels with Z <= 0, unless NULL, and dZ, for the pixels of a
# call.
cdef inline void add_pixels(
    const Step *step, const Call *call, const real *dZ_out, real *dslope
) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = step.array_size[0], t, c
    cdef const real *slope = <const real *> call.arrays[0]
    cdef const real *Z
    cdef const real *dy
    cdef real *dZ
    cdef real value
    for t in range(pixels.first, pixels.last):
        Z = <const real *> call.inputs[0] + t * d
        dy = dZ_out + t * d
        if dslope != NULL:
            for c in range(d):
                value = Z[c] * dy[c]
                dslope[c] += value if Z[c] <= 0 else 0
        if call.d_inputs[0] == NULL:
            continue
        dZ = <real *> call.d_inputs[0] + t * d
        if call.add_input[0]:
            for c in range(d):
                value = slope[c] * dy[c]
                dZ[c] += value if Z[c] <= 0 else dy[c]
        else:
            for c in range(d):
                value = slope[c] * dy[c]
                dZ[c] = value if Z[c] <= 0 else dy[c]


# dslope and dZ, see `add_pixels`; phase 1 adds the sums of the pieces.
cdef inline void backward_real(const Step *step, Call *call, const real *dZ_out) noexcept nogil:
    cdef Py_ssize_t d = step.array_size[0], k
    cdef real *sums = <real *> call.shared
    cdef real *dslope = <real *> call.d_arrays[0]
    if call.phase == 0:
        sums += call.piece * d
        memset(sums, 0, d * sizeof(real))
        add_pixels(step, call, dZ_out, sums if dslope != NULL else NULL)
        return
    if dslope != NULL and not call.add_arrays:
        memset(dslope, 0, d * sizeof(real))
    if call.phase == WHOLE:
        add_pixels(step, call, dZ_out, dslope)
    elif dslope != NULL:
        for k in range(pixel_pieces(step)):
            add_run(dslope, sums + k * d, d)


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        backward_real(step, call, <const double *> call.d_output)
    else:
        backward_real(step, call, <const float *> call.d_output)


# tZ_out = tZ where Z > 0, otherwise slope tZ + tslope Z.
cdef inline void tangent_real(const Step *step, Call *call, real *tZ_out) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = step.array_size[0], t, c
    cdef const real *slope = <const real *> call.arrays[0]
    cdef const real *t_slope = <const real *> call.t_arrays[0]
    cdef const real *tZ = <const real *> call.t_inputs[0]
    cdef const real *Z
    cdef real tangent
    for t in range(pixels.first, pixels.last):
        Z = <const real *> call.inputs[0] + t * d
        for c in range(d):
            tangent = 0 if tZ == NULL else tZ[t * d + c]
            if Z[c] <= 0:
                tangent = slope[c] * tangent + t_slope[c] * Z[c]
            tZ_out[t * d + c] = tangent


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


# For the pixels of a call, where Z <= 0: dslope += sum of tZ dZ_out, unless NULL, and
# dZ += tslope dZ_out, unless NULL.
cdef inline void add_tangents(
    const Step *step, const Call *call, const real *dZ_out, real *dslope
) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = step.array_size[0], t, c
    cdef const real *t_slope = <const real *> call.t_arrays[0]
    cdef const real *Z
    cdef const real *tZ
    cdef const real *dy
    cdef real *dZ
    for t in range(pixels.first, pixels.last):
        Z = <const real *> call.inputs[0] + t * d
        dy = dZ_out + t * d
        if dslope != NULL:
            tZ = <const real *> call.t_inputs[0] + t * d
            for c in range(d):
                if Z[c] <= 0:
                    dslope[c] += tZ[c] * dy[c]
        if call.d_inputs[0] != NULL:
            dZ = <real *> call.d_inputs[0] + t * d
            for c in range(d):
                if Z[c] <= 0:
                    dZ[c] += t_slope[c] * dy[c]


# In pieces, phase 1 adds the sums of phase 0 to dslope.
cdef inline void tangent_backward_real(
    const Step *step, Call *call, const real *dZ_out
) noexcept nogil:
    cdef Py_ssize_t d = step.array_size[0], k
    cdef real *sums = <real *> call.shared
    cdef real *dslope = NULL
    if call.t_inputs[0] != NULL:
        dslope = <real *> call.d_arrays[0]
    if call.phase == 0:
        sums += call.piece * d
        memset(sums, 0, d * sizeof(real))
        add_tangents(step, call, dZ_out, sums if dslope != NULL else NULL)
    elif call.phase == WHOLE:
        add_tangents(step, call, dZ_out, dslope)
    elif dslope != NULL:
        for k in range(pixel_pieces(step)):
            add_run(dslope, sums + k * d, d)


cdef inline void tangent_backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_backward_real(step, call, <const double *> call.d_output)
    else:
        tangent_backward_real(step, call, <const float *> call.d_output)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"PReLU", 1, 1, shape, forward, backward)
    table.sizes = sizes
    table.split = split
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table
