"""ConvTranspose: the adjoint of a convolution, S = P_phi' W' Z + b 1'.

The geometry is that of the convolution, whose images are the outputs of this step:

    forward     S = its gradient for the images, of Z
    d_input     dZ = W phi(dS), the convolution
    d_arrays    dW = sum_i Z^i phi(dS^i)', db = sum_i dS^i 1

    words    channels, groups, kernel height, width, upsampling down, right,
             crop at the top, bottom, left, right, dilation down, right, extra rows, columns,
             bias (0, 1), algorithm
    arrays   W (channels / groups, h_b, h_a, d_in), b (channels,)
"""

from libc.string cimport memset

from .._operation cimport (
    BACKWARD, Call, IMAGE, Operation, Range, Sizes, Step, Value, WHOLE, input_of, new_operation,
    set_image,
)
from .._algorithms cimport AUTO, IM2COL, WINOGRAD, choose_tile
from .._conv_direct cimport direct_pays
from .._conv_driver cimport (
    Convolution, conv_backward_prepared, conv_plan, conv_prepare, conv_prepare_backward,
    conv_reads_theta, conv_same_prepared, conv_set_images,
)
from .._geometry cimport Geometry, geometry_default, geometry_init, transposed_length
from .._status cimport ALGORITHM, OK, SIZE
from .._tile cimport copy_run
from .._types cimport real
from .conv_cut cimport ceil_div
from .conv_transpose_pieces cimport (
    TransposedCut, cut_transposed, input_gradient, pixels_gradient, transposed_backward_phase,
    transposed_backward_piece, transposed_forward_phase, transposed_forward_piece,
    transposed_images,
)


# The data of a step in `own`.
cdef struct TransposedFilters:
    Convolution c           # for the images of the plan
    bint has_bias
    int algorithm


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef TransposedFilters *own = <TransposedFilters *> step.own
    cdef Geometry *g = &own.c.g
    cdef const Value *Z = input_of(step, 0)
    cdef const Py_ssize_t *word = step.words
    cdef int status
    if Z.rank != IMAGE:
        return SIZE
    geometry_default(g)
    g.l = 1
    g.d, g.d_out, g.groups = word[0], Z.channels, word[1]
    g.h_b, g.h_a = word[2], word[3]
    g.s_b, g.s_a = word[4], word[5]
    g.top, g.bottom, g.left, g.right = word[6], word[7], word[8], word[9]
    g.dil_b, g.dil_a = word[10], word[11]
    status = transposed_length(
        Z.height, g.h_b, g.s_b, g.top, g.bottom, g.dil_b, word[12], &g.b
    )
    if status == OK:
        status = transposed_length(
            Z.width, g.h_a, g.s_a, g.left, g.right, g.dil_a, word[13], &g.a
        )
    if status == OK:
        status = geometry_init(g)
    if status != OK:
        return status
    if not 0 <= word[14] <= 1 or g.b_out != Z.height or g.a_out != Z.width:
        return SIZE
    if not AUTO <= word[15] <= WINOGRAD:
        return ALGORITHM
    own.has_bias = word[14] == 1
    own.algorithm = <int> word[15]
    step.n_arrays = 2 if own.has_bias else 1
    step.array_size[0] = g.K * g.d_out
    step.array_size[1] = g.d
    # taps of one output are s apart
    step.fan_in = g.d_out_g * ceil_div(g.h_b, g.s_b) * ceil_div(g.h_a, g.s_a)
    step.multiply_adds = <double> g.b_out * g.a_out * g.d_out * g.K
    set_image(output, g.b, g.a, g.d)
    return OK


# The convolution for l images, not more than planned.
cdef inline Convolution convolution_of(const Step *step, Py_ssize_t l) noexcept nogil:
    cdef Convolution c = (<const TransposedFilters *> step.own).c
    conv_set_images(&c, l)
    return c


cdef inline int sizes(Step *step, Sizes *sizes) noexcept nogil:
    cdef TransposedFilters *own = <TransposedFilters *> step.own
    cdef Geometry g = own.c.g, usual = own.c.g
    cdef Py_ssize_t m_b = 0, m_a = 0, l, filters
    cdef Convolution c
    cdef TransposedCut cut
    cdef int status, algorithm = own.algorithm
    usual.l, g.l = step.usual, step.images
    status = geometry_init(&g)
    if status == OK:
        status = geometry_init(&usual)
    if status != OK:
        return status
    if step.compact and not (algorithm == AUTO and direct_pays(&usual)):
        algorithm = IM2COL
    choose_tile(&usual, step.is_double, algorithm, step.frozen, &m_b, &m_a)
    status = conv_plan(&g, step.is_double, m_b, m_a, &own.c)
    if status != OK:
        return status
    sizes.prepared = own.c.prepared_backward
    if own.c.reads_W and step.frozen:
        # a frozen network keeps prepared parameters only
        sizes.prepared = own.c.prepared
    sizes.preparing = own.c.preparing_backward
    # filters for W phi(dS), if they are not prepared before
    filters = 0 if conv_reads_theta(&own.c) else own.c.prepared
    if not step.frozen:
        sizes.prepared_backward = filters
        sizes.preparing = max(sizes.preparing, own.c.preparing)
    for l in range(1, step.images + 1):
        c = convolution_of(step, l)
        sizes.forward = max(sizes.forward, c.backward)
        if not step.frozen:
            sizes.backward = max(sizes.backward, max(c.backward, max(c.forward, c.preparing)))
            cut_transposed(&c, True, &cut)
            sizes.shared_backward = max(sizes.shared_backward, cut.shared)
    if not step.frozen:
        # an image of dZ, which is added
        sizes.backward += filters + g.b_out * g.a_out * g.d_out
    return OK


cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef Convolution c = convolution_of(step, step.images)
    cdef TransposedCut cut
    cut_transposed(&c, direction == BACKWARD, &cut)
    if direction == BACKWARD:
        return transposed_backward_phase(&cut, phase)
    return transposed_forward_phase(&c, &cut, phase)


# `prepare` for one dtype.
cdef inline void prepare_real(
    const TransposedFilters *own, bint frozen, Call *call, bint backward, real *scratch
) noexcept nogil:
    cdef const real *W = <const real *> call.arrays[0]
    if not backward and own.c.reads_W:
        if frozen:
            copy_run(<real *> call.prepared, W, own.c.prepared)
    elif not backward:
        conv_prepare_backward(&own.c, W, <real *> call.prepared, 0, own.c.g.d_out, scratch)
    elif not conv_reads_theta(&own.c):
        conv_prepare(&own.c, W, <real *> call.prepared_backward, scratch)


cdef inline void prepare(const Step *step, Call *call, bint backward) noexcept nogil:
    if step.is_double:
        prepare_real(
            <const TransposedFilters *> step.own, step.frozen, call, backward,
            <double *> call.scratch,
        )
    else:
        prepare_real(
            <const TransposedFilters *> step.own, step.frozen, call, backward,
            <float *> call.scratch,
        )


# S = sigma(P_phi' W' Z + b 1').
cdef inline void forward_real(const Step *step, Call *call, real *S) noexcept nogil:
    cdef const real *b = NULL
    cdef const real *Z = <const real *> call.inputs[0]
    # read only if c.reads_W
    cdef const real *W = <const real *> (call.prepared if step.frozen else call.arrays[0])
    cdef Convolution c = convolution_of(step, step.images)
    cdef TransposedCut cut
    if (<const TransposedFilters *> step.own).has_bias:
        b = <const real *> call.arrays[1]
    if call.phase != WHOLE:
        cut_transposed(&c, False, &cut)
        transposed_forward_piece(&c, &cut, call, Z, W, b, &step.activation, S)
        return
    conv_set_images(&c, call.images)
    transposed_images(
        &c, Z, W, <const real *> call.prepared, b, &step.activation, S, <real *> call.scratch
    )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ = W phi(dS), dW = sum_i Z^i phi(dS^i)', db = sum_i dS^i 1, or +=.
cdef inline void backward_real(const Step *step, Call *call, real *dS) noexcept nogil:
    cdef Convolution c = convolution_of(step, step.images)
    cdef const Geometry *g = &c.g
    cdef real *db = NULL
    cdef real *dZ = <real *> call.d_inputs[0]
    cdef TransposedCut cut
    cdef Range pixels
    if (<const TransposedFilters *> step.own).has_bias:
        db = <real *> call.d_arrays[1]
    if call.phase != WHOLE:
        cut_transposed(&c, True, &cut)
        if cut.runs.pieces > 1:
            transposed_backward_piece(&c, &cut, step, call, dS, db)
            return
    conv_set_images(&c, call.images)
    if db != NULL and not call.add_arrays:
        memset(db, 0, g.d * sizeof(real))
    pixels.first, pixels.last = 0, g.l * g.b * g.a
    pixels_gradient(step, call, pixels, dS, db)
    if dZ != NULL:
        input_gradient(&c, call, dS, call.add_input[0], dZ, <real *> call.scratch)
    if call.d_arrays[0] != NULL:
        conv_backward_prepared(
            &c, <const real *> call.inputs[0], dS, <const real *> call.arrays[0],
            <const real *> NULL, False, <real *> NULL, call.add_arrays,
            <real *> call.d_arrays[0], <real *> NULL, <real *> call.scratch,
        )


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        backward_real(step, call, <double *> call.d_output)
    else:
        backward_real(step, call, <float *> call.d_output)


# W' = diag(gain) W', b = gain b + bias
cdef inline void absorb_real(
    const Step *step, const real *gain, const real *bias, real *W, real *b
) noexcept nogil:
    cdef const Geometry *g = &(<const TransposedFilters *> step.own).c.g
    cdef Py_ssize_t j, tap, o, hh = g.h_b * g.h_a
    for j in range(g.d_g):
        for tap in range(hh):
            for o in range(g.d_out):
                W[(j * hh + tap) * g.d_out + o] *= gain[o // g.d_out_g * g.d_g + j]
    for j in range(g.d):
        b[j] = gain[j] * b[j] + bias[j]


cdef inline int absorb(
    Step *step, const void *gain, const void *bias, void **arrays
) noexcept nogil:
    if arrays == NULL:
        (<TransposedFilters *> step.own).has_bias = True
        if step.n_arrays == 1:
            step.n_arrays = 2
            step.array_at[1] = -1
    elif step.is_double:
        absorb_real(
            step, <const double *> gain, <const double *> bias, <double *> arrays[0],
            <double *> arrays[1],
        )
    else:
        absorb_real(
            step, <const float *> gain, <const float *> bias, <float *> arrays[0],
            <float *> arrays[1],
        )
    return OK


cdef inline bint same_prepared(const Step *one, const Step *other) noexcept nogil:
    return conv_same_prepared(
        &(<const TransposedFilters *> one.own).c, &(<const TransposedFilters *> other.own).c
    )


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"ConvTranspose", 1, 1, shape, forward, backward)
    table.n_words = 16
    table.own_size = sizeof(TransposedFilters)
    table.fused = True
    table.sizes = sizes
    table.split = split
    table.prepare = prepare
    table.prepared_arrays = 1
    table.absorb = absorb
    table.same_prepared = same_prepared
    return table
