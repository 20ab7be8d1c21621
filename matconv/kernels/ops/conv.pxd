"""Conv: S = W phi(Z) + b 1', equation (1) of the notes; the filter matrix also of Dense.

    words    filters, groups, kernel height, width, stride down, right,
             padding top, bottom, left, right, dilation down, right, bias (0, 1), algorithm
    arrays   W (d_in / groups, h_b, h_a, d_out), b (d_out,)
"""

from libc.string cimport memset

from .._activation cimport ACTIVATION_NONE
from .._operation cimport (
    Call, IMAGE, Operation, Sizes, Step, Value, input_of, new_operation, set_image,
)
from ..algorithms cimport AUTO, IM2COL, WINOGRAD, choose_tile
from ..bias_relu cimport activation_backward_rows
from ..conv_driver cimport (
    conv_backward_prepared, conv_forward_prepared, conv_pieces, conv_prepare,
    conv_prepare_backward, conv_prepare_scratch, conv_prepared_backward_sizes,
    conv_prepared_sizes, conv_scratch,
)
from ..geometry cimport Geometry, geometry_default, geometry_init
from ..status cimport ALGORITHM, KERNEL, OK, OVERFLOW, SIZE
from ..tile cimport filters_in_tile_order
from ..types cimport real


# What a step keeps in `own`.
cdef struct Filters:
    Geometry g              # of step.images images
    Py_ssize_t m_b, m_a     # Winograd's tile; 0: im2col
    bint has_bias
    bint as_it_is           # W has the tile's order already: the forward pass reads it in theta
    int algorithm


# The geometry is there, of one image: what follows from it. Used by every step with filters.
cdef inline int set_filters(Step *step, bint has_bias, int algorithm) noexcept nogil:
    cdef Filters *own = <Filters *> step.own
    cdef int status = geometry_init(&own.g)
    if status != OK:
        return status
    own.has_bias = has_bias
    own.algorithm = algorithm
    step.n_arrays = 2 if has_bias else 1
    step.array_size[0] = own.g.K * own.g.d_out
    step.array_size[1] = own.g.d_out
    step.fan_in = own.g.K
    step.multiply_adds = (
        <double> own.g.b_out * own.g.a_out * own.g.d_out * own.g.K
    )
    return OK


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef Filters *own = <Filters *> step.own
    cdef const Value *Z = input_of(step, 0)
    cdef const Py_ssize_t *word = step.words
    cdef Geometry *g = &own.g
    cdef int status
    if Z.rank != IMAGE:
        return SIZE
    geometry_default(g)
    g.l = 1
    g.b, g.a, g.d = Z.height, Z.width, Z.channels
    g.d_out, g.groups = word[0], word[1]
    g.h_b, g.h_a = word[2], word[3]
    g.s_b, g.s_a = word[4], word[5]
    g.top, g.bottom, g.left, g.right = word[6], word[7], word[8], word[9]
    g.dil_b, g.dil_a = word[10], word[11]
    if not 0 <= word[12] <= 1:
        return SIZE
    if not AUTO <= word[13] <= WINOGRAD:
        return ALGORITHM
    status = set_filters(step, word[12] == 1, <int> word[13])
    set_image(output, g.b_out, g.a_out, g.d_out)
    return status


cdef inline int sizes(Step *step, Sizes *sizes) noexcept nogil:
    cdef Filters *own = <Filters *> step.own
    cdef Geometry usual = own.g
    cdef Py_ssize_t scratch = 0, unused = 0
    cdef int status
    usual.l = step.usual
    own.g.l = step.images
    status = geometry_init(&own.g)
    if status == OK:
        status = geometry_init(&usual)
    if status != OK:
        return status
    choose_tile(
        &usual, step.is_double, IM2COL if step.compact else own.algorithm, step.frozen, &own.m_b,
        &own.m_a,
    )
    status = conv_prepared_sizes(
        &own.g, step.is_double, own.m_b, own.m_a, &sizes.prepared, &sizes.forward
    )
    sizes.preparing = conv_prepare_scratch(&own.g, step.is_double, own.m_b, own.m_a)
    own.as_it_is = not step.frozen and not own.m_b and filters_in_tile_order(&own.g)
    if own.as_it_is:
        sizes.prepared = 0
    if step.frozen:
        return status
    if status == OK:
        status = conv_scratch(
            &own.g, step.is_double, own.m_b, own.m_a, True, &sizes.backward
        )
    conv_prepared_backward_sizes(
        &own.g, step.is_double, own.m_b, own.m_a, &sizes.prepared_backward, &scratch
    )
    sizes.preparing = max(sizes.preparing, scratch)
    return status


cdef inline void prepare_real(
    const Filters *own, const real *W, real *prepared, real *scratch, bint backward
) noexcept nogil:
    cdef Geometry g = own.g
    g.l = 1
    if backward:
        conv_prepare_backward(&g, own.m_b, own.m_a, W, prepared, scratch)
    elif not own.as_it_is:
        conv_prepare(&g, own.m_b, own.m_a, W, prepared, scratch)


cdef inline void prepare(const Step *step, Call *call, bint backward) noexcept nogil:
    cdef const Filters *own = <const Filters *> step.own
    cdef void *prepared = call.prepared_backward if backward else call.prepared
    if step.is_double:
        prepare_real(
            own, <const double *> call.arrays[0], <double *> prepared, <double *> call.scratch,
            backward,
        )
    else:
        prepare_real(
            own, <const float *> call.arrays[0], <float *> prepared, <float *> call.scratch,
            backward,
        )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    cdef const Filters *own = <const Filters *> step.own
    cdef const void *b = call.arrays[1] if own.has_bias else NULL
    cdef const void *filters = call.arrays[0] if own.as_it_is else call.prepared
    cdef Geometry g = own.g
    cdef Py_ssize_t pieces
    g.l = call.images
    pieces = conv_pieces(&g, step.is_double, own.m_b, own.m_a)
    if step.is_double:
        conv_forward_prepared(
            &g, own.m_b, own.m_a, <const double *> call.inputs[0], <const double *> filters,
            <const double *> b, &step.activation, <double *> call.output, 0, pieces,
            <double *> call.scratch,
        )
    else:
        conv_forward_prepared(
            &g, own.m_b, own.m_a, <const float *> call.inputs[0], <const float *> filters,
            <const float *> b, &step.activation, <float *> call.output, 0, pieces,
            <float *> call.scratch,
        )


cdef inline void backward_real(
    const Step *step, Call *call, real *dS, const real *Z, const real *S, real *dZ, real *dW,
    real *db, real *scratch,
) noexcept nogil:
    cdef const Filters *own = <const Filters *> step.own
    cdef Geometry g = own.g
    g.l = call.images
    if step.activation.code != ACTIVATION_NONE:
        # dS and, in the same pass, db(d_out) += dS(d_out, n) 1
        if db != NULL and not call.add_arrays:
            memset(db, 0, g.d_out * sizeof(real))
        activation_backward_rows(
            g.l * g.b_out * g.a_out, g.d_out, dS, S, &step.activation, dS, db
        )
        db = NULL
    conv_backward_prepared(
        &g, own.m_b, own.m_a, dS, Z, <const real *> call.arrays[0],
        <const real *> call.prepared_backward, call.add_input[0], dZ, call.add_arrays, dW, db,
        scratch,
    )


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    cdef const Filters *own = <const Filters *> step.own
    cdef void *dW = call.d_arrays[0]
    cdef void *db = call.d_arrays[1] if own.has_bias else NULL
    if step.is_double:
        backward_real(
            step, call, <double *> call.d_output, <const double *> call.inputs[0],
            <const double *> call.output, <double *> call.d_inputs[0], <double *> dW,
            <double *> db, <double *> call.scratch,
        )
    else:
        backward_real(
            step, call, <float *> call.d_output, <const float *> call.inputs[0],
            <const float *> call.output, <float *> call.d_inputs[0], <float *> dW,
            <float *> db, <float *> call.scratch,
        )


# W(d_out, K) = diag(gain) W, b = gain b + bias
cdef inline void absorb_real(
    const Step *step, const real *gain, const real *bias, real *W, real *b
) noexcept nogil:
    cdef Py_ssize_t d_out = step.array_size[1], k, c
    for k in range(step.array_size[0] // d_out):
        for c in range(d_out):
            W[k * d_out + c] *= gain[c]
    for c in range(d_out):
        b[c] = gain[c] * b[c] + bias[c]


cdef inline int absorb(
    Step *step, const void *gain, const void *bias, void **arrays
) noexcept nogil:
    if arrays == NULL:
        (<Filters *> step.own).has_bias = True
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


# As far as `conv_prepare` looks: the tile, and the order of the filters' elements.
cdef inline bint same_prepared(const Step *one, const Step *other) noexcept nogil:
    cdef const Filters *p = <const Filters *> one.own
    cdef const Filters *q = <const Filters *> other.own
    if p.m_b != q.m_b or p.m_a != q.m_a or p.g.d_g != q.g.d_g or p.g.groups != q.g.groups:
        return False
    if p.m_b == 0:
        return p.g.h_b * p.g.h_a == q.g.h_b * q.g.h_a
    return (
        p.g.h_b == q.g.h_b and p.g.h_a == q.g.h_a and p.g.s_b == q.g.s_b and p.g.s_a == q.g.s_a
    )


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Conv", 1, 1, shape, forward, backward)
    table.n_words = 14
    table.own_size = sizeof(Filters)
    table.fused = True
    table.sizes = sizes
    table.prepare = prepare
    table.prepared_arrays = 1
    table.absorb = absorb
    table.same_prepared = same_prepared
    return table
