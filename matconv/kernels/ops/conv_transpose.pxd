"""ConvTranspose: the adjoint of a convolution, S = P_phi' W' Z + b 1'.

The geometry is that of the convolution, whose images are the outputs of this step:

    forward     S = its gradient for the images, of Z
    d_input     dZ = W phi(dS), the convolution
    d_arrays    dW = sum_i Z^i phi(dS^i)', db = sum_i dS^i 1

    words    channels, groups, kernel height, width, upsampling down, right,
             crop at the top, bottom, left, right, dilation down, right, extra rows, columns,
             bias (0, 1), algorithm
    arrays   W (channels / groups, h_b, h_a, d_in), b (channels,)

Phases of the backward pass in pieces:

    0   several images: dS through the activation, dZ, sums for dW and db
    1   several channels of dW from the sums, in their order; the first piece also computes db
"""

from libc.string cimport memset

from .._activation cimport ACTIVATION_NONE
from .._operation cimport (
    BACKWARD, BilinearCall, Call, IMAGE, Operation, PIECE_ELEMENTS, Range, Sizes, Step, Value,
    bilinear_call, goes_back, input_of, new_operation, piece_count, piece_length, range_of,
    set_image,
)
from .._algorithms cimport AUTO, IM2COL, WINOGRAD, choose_tile
from .._bias_relu cimport activation_backward_rows, bias_activation_rows
from .._conv_direct cimport direct_pays
from .._conv_driver cimport (
    Convolution, conv_add_sums, conv_backward_prepared, conv_backward_sum, conv_forward_prepared,
    conv_plan, conv_prepare, conv_prepare_backward, conv_reads_theta, conv_same_prepared,
    conv_set_images, conv_tiles,
)
from .._geometry cimport Geometry, geometry_default, geometry_init, transposed_length
from .._status cimport ALGORITHM, OK, SIZE
from .._tile cimport add_run, copy_run
from .._types cimport real
from .conv_cut cimport MAX_RUNS, MAX_SHARED_BYTES, ceil_div, multiply_adds, runs_of


# The data of a step in `own`.
cdef struct TransposedFilters:
    Convolution c           # for the images of the plan
    bint has_bias
    int algorithm


# The images of a piece, and the number of pieces of the images of the step.
cdef struct ImageRuns:
    Py_ssize_t length, pieces


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


# The maximum number of pieces of the backward pass, limited by the memory of their sums.
cdef inline Py_ssize_t max_pieces(const Convolution *c) noexcept nogil:
    cdef Py_ssize_t item = sizeof(double) if c.is_double else sizeof(float)
    return min(MAX_SHARED_BYTES // item // (c.sum + c.g.d), <Py_ssize_t> MAX_RUNS)


# Divide the images of a pass over step.images images. OUT: runs.
cdef inline void cut_images(
    const Step *step, const Convolution *c, bint backward, ImageRuns *runs
) noexcept nogil:
    cdef Py_ssize_t pieces = runs_of(multiply_adds(&c.g) * (2 if backward else 1))
    if backward:
        pieces = min(pieces, max_pieces(c))
    pieces = max(min(pieces, c.g.l), <Py_ssize_t> 1)
    runs.length = max(ceil_div(c.g.l, pieces), <Py_ssize_t> 1)
    runs.pieces = piece_count(c.g.l, runs.length)


# Channels of a piece of phase 1 of the backward pass.
cdef inline Py_ssize_t channels_length(
    const Convolution *c, const ImageRuns *runs
) noexcept nogil:
    return piece_length(
        c.g.d_g, <double> runs.pieces * c.sum / c.g.d_g, PIECE_ELEMENTS
    )


cdef inline int sizes(Step *step, Sizes *sizes) noexcept nogil:
    cdef TransposedFilters *own = <TransposedFilters *> step.own
    cdef Geometry g = own.c.g, usual = own.c.g
    cdef Py_ssize_t m_b = 0, m_a = 0, l, filters, pieces
    cdef Convolution c
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
    if not step.frozen:
        # an image of dZ, which is added
        sizes.backward += filters + g.b_out * g.a_out * g.d_out
        pieces = min(max_pieces(&own.c), step.images)
        if pieces > 1:
            sizes.shared_backward = pieces * (own.c.sum + g.d)
    return OK


cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef Convolution c = convolution_of(step, step.images)
    cdef ImageRuns runs
    cut_images(step, &c, goes_back(direction), &runs)
    if phase == 0:
        return runs.pieces
    if phase == 1 and goes_back(direction) and runs.pieces > 1:
        return piece_count(c.g.d_g, channels_length(&c, &runs))
    return 0


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
    cdef const Geometry *g = &c.g
    cdef ImageRuns runs
    cdef Range part
    if (<const TransposedFilters *> step.own).has_bias:
        b = <const real *> call.arrays[1]
    cut_images(step, &c, False, &runs)
    part = range_of(call, call.images, runs.length)
    conv_set_images(&c, part.last - part.first)
    Z += part.first * g.b_out * g.a_out * g.d_out
    S += part.first * g.b * g.a * g.d
    conv_backward_prepared(
        &c, Z, <const real *> NULL, W, <const real *> call.prepared, False, S, False,
        <real *> NULL, <real *> NULL, <real *> call.scratch,
    )
    bias_activation_rows(g.l * g.b * g.a, g.d, S, b, &step.activation, S)


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ = W phi(dS), or += if add. OUT: dZ. SCRATCH: scratch.
cdef inline void input_gradient(
    const Convolution *c, const Call *call, const real *dS, bint add, real *dZ, real *scratch
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t image = g.b_out * g.a_out * g.d_out, k
    cdef const real *filters = <const real *> call.arrays[0]
    cdef Convolution one = c[0]
    if not conv_reads_theta(c):
        filters = <const real *> call.prepared_backward
        if filters == NULL:
            conv_prepare(c, <const real *> call.arrays[0], scratch, scratch + c.prepared)
            filters = scratch
            scratch += c.prepared
    if not add:
        conv_forward_prepared(
            c, dS, filters, <const real *> NULL, NULL, dZ, 0, conv_tiles(c), scratch
        )
        return
    conv_set_images(&one, 1)
    for k in range(g.l):
        conv_forward_prepared(
            &one, dS + k * g.b * g.a * g.d, filters, <const real *> NULL, NULL, scratch, 0,
            conv_tiles(&one), scratch + image,
        )
        add_run(dZ + k * image, scratch, image)


# The images of a piece, or all: dS through the activation, dZ and db or its sum. INOUT: dS, db.
cdef inline void images_gradient(
    const Step *step, const Convolution *c, const Call *call, Py_ssize_t first, real *dS, real *db
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef real *dZ = <real *> call.d_inputs[0]
    if db != NULL or step.activation.code != ACTIVATION_NONE:
        activation_backward_rows(
            g.l * g.b * g.a, g.d, dS, <const real *> call.output + first * g.b * g.a * g.d,
            &step.activation, dS, db,
        )
    if dZ != NULL:
        input_gradient(
            c, call, dS, call.add_input[0], dZ + first * g.b_out * g.a_out * g.d_out,
            <real *> call.scratch,
        )


# A piece of phase 0. INOUT: dS. OUT: sums for db and dW, in call.shared.
cdef inline void images_piece(
    const Step *step, Convolution *c, const ImageRuns *runs, const Call *call, real *dS,
    bint has_db,
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Range part = range_of(call, call.images, runs.length)
    cdef real *sum_db = NULL
    if has_db:
        sum_db = <real *> call.shared + call.piece * g.d
        memset(sum_db, 0, g.d * sizeof(real))
    conv_set_images(c, part.last - part.first)
    dS += part.first * g.b * g.a * g.d
    images_gradient(step, c, call, part.first, dS, sum_db)
    if call.d_arrays[0] != NULL:
        conv_backward_sum(
            c, <const real *> call.inputs[0] + part.first * g.b_out * g.a_out * g.d_out, dS,
            <real *> NULL, False, <real *> NULL, False,
            <real *> call.shared + runs.pieces * g.d + call.piece * c.sum, <real *> call.scratch,
        )


# dZ = W phi(dS), dW = sum_i Z^i phi(dS^i)', db = sum_i dS^i 1, or +=.
cdef inline void backward_real(const Step *step, Call *call, real *dS) noexcept nogil:
    cdef const TransposedFilters *own = <const TransposedFilters *> step.own
    cdef Convolution c = convolution_of(step, step.images)
    cdef const Geometry *g = &c.g
    cdef real *db = NULL
    cdef real *dW = <real *> call.d_arrays[0]
    cdef ImageRuns runs
    cdef Range part
    cdef Py_ssize_t k
    if own.has_bias:
        db = <real *> call.d_arrays[1]
    if call.phase == 0 and split(step, BACKWARD, 0) > 1:
        cut_images(step, &c, True, &runs)
        images_piece(step, &c, &runs, call, dS, db != NULL)
        return
    if db != NULL and not call.add_arrays and call.piece == 0:
        memset(db, 0, g.d * sizeof(real))
    if call.phase == 1:
        cut_images(step, &c, True, &runs)
        if db != NULL and call.piece == 0:
            for k in range(runs.pieces):
                add_run(db, <const real *> call.shared + k * g.d, g.d)
        if dW != NULL:
            part = range_of(call, g.d_g, channels_length(&c, &runs))
            conv_add_sums(
                &c, <real *> call.shared + runs.pieces * g.d, runs.pieces, part.first, part.last,
                call.add_arrays, dW, <real *> call.scratch,
            )
        return
    conv_set_images(&c, call.images)
    images_gradient(step, &c, call, 0, dS, db)
    if dW != NULL:
        conv_backward_prepared(
            &c, <const real *> call.inputs[0], dS, <const real *> call.arrays[0],
            <const real *> NULL, False, <real *> NULL, call.add_arrays, dW, <real *> NULL,
            <real *> call.scratch,
        )


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        backward_real(step, call, <double *> call.d_output)
    else:
        backward_real(step, call, <float *> call.d_output)


# tS = sigma' (P_phi' tW' Z + P_phi' W' tZ + tb 1'), with sigma' as in the backward pass.
cdef inline void tangent_real(const Step *step, Call *call, real *tS) noexcept nogil:
    cdef const real *tb = NULL
    cdef const real *Z = <const real *> call.inputs[0]
    cdef const real *tZ = <const real *> call.t_inputs[0]
    cdef Convolution c = convolution_of(step, step.images)
    cdef const Geometry *g = &c.g
    cdef ImageRuns runs
    cdef Range part
    cdef Py_ssize_t at_Z, at_S
    if (<const TransposedFilters *> step.own).has_bias:
        tb = <const real *> call.t_arrays[1]
    cut_images(step, &c, False, &runs)
    part = range_of(call, call.images, runs.length)
    conv_set_images(&c, part.last - part.first)
    at_Z = part.first * g.b_out * g.a_out * g.d_out
    at_S = part.first * g.b * g.a * g.d
    tS += at_S
    conv_backward_prepared(
        &c, Z + at_Z, <const real *> NULL, <const real *> call.t_arrays[0],
        <const real *> call.t_prepared, False, tS, False, <real *> NULL, <real *> NULL,
        <real *> call.scratch,
    )
    if tZ != NULL:
        conv_backward_prepared(
            &c, tZ + at_Z, <const real *> NULL, <const real *> call.arrays[0],
            <const real *> call.prepared, True, tS, False, <real *> NULL, <real *> NULL,
            <real *> call.scratch,
        )
    bias_activation_rows(g.l * g.b * g.a, g.d, <const real *> tS, tb, NULL, tS)
    activation_backward_rows(
        g.l * g.b * g.a, g.d, <const real *> tS, <const real *> call.output + at_S,
        &step.activation, tS, <real *> NULL,
    )


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


# dZ += tW phi(dS), dW += sum_i tZ^i phi(dS^i)'.
cdef inline void tangent_backward(const Step *step, Call *call) noexcept nogil:
    cdef BilinearCall part
    if bilinear_call(call, &part):
        backward(step, &part.call)


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
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table
