"""Scale: sigma(gain x + bias), with a gain and a bias for each channel.

    words    bias (0, 1)
    arrays   gain (d,), bias (d,)
"""

from libc.string cimport memcpy, memset

from .._activation cimport (
    ACTIVATION_NONE, CLIP, LEAKY_RELU, RELU, activation_is_rounded, activation_value,
)
from .._bias_relu cimport activation_backward_rows, bias_activation_rows
from .._operation cimport (
    BilinearCall, Call, Operation, PIECE_ELEMENTS, Range, Sizes, Step, Value, WHOLE, bilinear_call,
    goes_back, input_of, new_operation, piece_bound, piece_count, piece_length, range_of,
)
from .._status cimport OK, SIZE
from .._tile cimport add_run
from .._types cimport real


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    if not 0 <= step.words[0] <= 1:
        return SIZE
    output[0] = input_of(step, 0)[0]
    step.n_arrays = 1 + <int> step.words[0]
    step.array_size[0] = step.array_size[1] = output.channels
    step.multiply_adds = <double> output.height * output.width * output.channels
    return OK


# Pixels of a piece.
cdef inline Py_ssize_t pixels_length(const Step *step) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    return piece_length(step.images * out.height * out.width, out.channels, PIECE_ELEMENTS)


# The number of pieces of pixels.
cdef inline Py_ssize_t pixel_pieces(const Step *step) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    return piece_count(step.images * out.height * out.width, pixels_length(step))


# The pixels of a call.
cdef inline Range pixels_of(const Step *step, const Call *call) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    return range_of(call, call.images * out.height * out.width, pixels_length(step))


# The entry `split` of an operation on each pixel by itself.
cdef inline Py_ssize_t split_pixels(const Step *step, int direction, int phase) noexcept nogil:
    return pixel_pieces(step) if phase == 0 else 0


# Phases of the backward pass: sums dgain, dbias of each piece in `shared`; then the sums of these,
# in their order.
cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef Py_ssize_t pieces = pixel_pieces(step)
    if phase == 0:
        return pieces
    return 1 if goes_back(direction) and phase == 1 and pieces > 1 else 0


cdef inline int sizes(Step *step, Sizes *sizes) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Py_ssize_t pieces = piece_bound(
        step.images * out.height * out.width, out.channels, PIECE_ELEMENTS
    )
    if pieces > 1:
        sizes.shared_backward = 2 * pieces * step.array_size[0]
    return OK


# Z_out(d) = sigma(gain . Z + bias) for one pixel and one code. IN: bias or NULL.
cdef inline void scale_pixel(
    int code, Py_ssize_t d, const real *gain, const real *bias, const real *Z, real alpha,
    real beta, real *Z_out,
) noexcept nogil:
    cdef Py_ssize_t c
    if bias == NULL:
        for c in range(d):
            Z_out[c] = activation_value(code, gain[c] * Z[c], alpha, beta)
    else:
        for c in range(d):
            Z_out[c] = activation_value(code, gain[c] * Z[c] + bias[c], alpha, beta)


# Z_out(pixel, :) = sigma(gain . Z(pixel, :) + bias).
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = out.channels, _
    cdef const real *gain = <const real *> call.arrays[0]
    cdef const real *bias = NULL
    cdef const real *Z = <const real *> call.inputs[0] + pixels.first * d
    cdef real alpha = <real> step.activation.alpha, beta = <real> step.activation.beta
    cdef int code = step.activation.code
    if step.words[0]:
        bias = <const real *> call.arrays[1]
    Z_out += pixels.first * d
    for _ in range(pixels.first, pixels.last):
        # one call for each constant code, so that each is compiled to a loop without branches
        if code == RELU:
            scale_pixel(RELU, d, gain, bias, Z, alpha, beta, Z_out)
        elif code == LEAKY_RELU:
            scale_pixel(LEAKY_RELU, d, gain, bias, Z, alpha, beta, Z_out)
        elif code == CLIP:
            scale_pixel(CLIP, d, gain, bias, Z, alpha, beta, Z_out)
        else:
            scale_pixel(ACTIVATION_NONE, d, gain, bias, Z, alpha, beta, Z_out)
            if activation_is_rounded(code):
                bias_activation_rows(1, d, Z_out, <const real *> NULL, &step.activation, Z_out)
        Z += d
        Z_out += d


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dS = sigma' dZ_out in its place, dgain(d) += (dS . Z) 1, dbias(d) += dS 1, each or NULL, and dZ
# for the pixels of a call.
cdef inline void add_pixels(
    const Step *step, const Call *call, real *dS, real *dgain, real *dbias
) noexcept nogil:
    cdef const Value *out = &step.values[step.output]
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = out.channels, t, c
    cdef const real *gain = <const real *> call.arrays[0]
    cdef const real *Z = <const real *> call.inputs[0]
    cdef real *dZ = <real *> call.d_inputs[0]
    for t in range(pixels.first, pixels.last):
        if step.activation.code != ACTIVATION_NONE:
            activation_backward_rows(
                1, d, dS + t * d, <const real *> call.output + t * d, &step.activation,
                dS + t * d, <real *> NULL,
            )
        if dgain != NULL:
            for c in range(d):
                dgain[c] += dS[t * d + c] * Z[t * d + c]
        if dbias != NULL:
            for c in range(d):
                dbias[c] += dS[t * d + c]
        if dZ != NULL and call.add_input[0]:
            for c in range(d):
                dZ[t * d + c] += gain[c] * dS[t * d + c]
        elif dZ != NULL:
            for c in range(d):
                dZ[t * d + c] = gain[c] * dS[t * d + c]


# dgain, dbias and dZ, see `add_pixels`; phase 1 adds the sums of the pieces.
cdef inline void backward_real(const Step *step, Call *call, real *dS) noexcept nogil:
    cdef Py_ssize_t d = step.array_size[0], k
    cdef real *sums = <real *> call.shared
    cdef real *dgain = <real *> call.d_arrays[0]
    cdef real *dbias = NULL
    if step.words[0]:
        dbias = <real *> call.d_arrays[1]
    if call.phase == 0:
        sums += 2 * call.piece * d
        memset(sums, 0, 2 * d * sizeof(real))
        add_pixels(
            step, call, dS, sums if dgain != NULL else NULL,
            sums + d if dbias != NULL else NULL,
        )
        return
    if dgain != NULL and not call.add_arrays:
        memset(dgain, 0, d * sizeof(real))
    if dbias != NULL and not call.add_arrays:
        memset(dbias, 0, d * sizeof(real))
    if call.phase == WHOLE:
        add_pixels(step, call, dS, dgain, dbias)
        return
    for k in range(pixel_pieces(step)):
        if dgain != NULL:
            add_run(dgain, sums + 2 * k * d, d)
        if dbias != NULL:
            add_run(dbias, sums + (2 * k + 1) * d, d)


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        backward_real(step, call, <double *> call.d_output)
    else:
        backward_real(step, call, <float *> call.d_output)


# tZ_out(pixel, :) = sigma' (tgain . Z(pixel, :) + gain . tZ(pixel, :) + tbias).
cdef inline void tangent_real(const Step *step, Call *call, real *tZ_out) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = step.values[step.output].channels, t, c
    cdef const real *Z = <const real *> call.inputs[0]
    cdef const real *tZ = <const real *> call.t_inputs[0]
    cdef const real *gain = <const real *> call.arrays[0]
    cdef const real *t_gain = <const real *> call.t_arrays[0]
    cdef const real *t_bias = NULL
    if step.words[0]:
        t_bias = <const real *> call.t_arrays[1]
    for t in range(pixels.first, pixels.last):
        for c in range(d):
            tZ_out[t * d + c] = t_gain[c] * Z[t * d + c]
        if tZ != NULL:
            for c in range(d):
                tZ_out[t * d + c] += gain[c] * tZ[t * d + c]
        if t_bias != NULL:
            for c in range(d):
                tZ_out[t * d + c] += t_bias[c]
    activation_backward_rows(
        1, (pixels.last - pixels.first) * d, <const real *> tZ_out + pixels.first * d,
        <const real *> call.output + pixels.first * d, &step.activation, tZ_out + pixels.first * d,
        <real *> NULL,
    )


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


# dZ += tgain . dZ_out, dgain += sum of dZ_out . tZ.
cdef inline void tangent_backward(const Step *step, Call *call) noexcept nogil:
    cdef BilinearCall part
    if bilinear_call(call, &part):
        backward(step, &part.call)


# `affine` for one dtype.
cdef inline void affine_real(const Step *step, const void **arrays, real *gain, void *bias) \
        noexcept nogil:
    cdef Py_ssize_t nbytes = step.array_size[0] * sizeof(real)
    memcpy(gain, arrays[0], nbytes)
    if step.words[0]:
        memcpy(bias, arrays[1], nbytes)
    else:
        memset(bias, 0, nbytes)


cdef inline int affine(
    const Step *step, const void **arrays, void *gain, void *bias
) noexcept nogil:
    if arrays == NULL:
        return OK
    if step.is_double:
        affine_real(step, arrays, <double *> gain, bias)
    else:
        affine_real(step, arrays, <float *> gain, bias)
    return OK


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Scale", 1, 1, shape, forward, backward)
    table.n_words = 1
    table.fused = True
    table.sizes = sizes
    table.affine = affine
    table.split = split
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table
