"""Conv: S = W phi(Z) + b 1', equation (1) of the notes. Also used by Dense.

    words    filters, groups, kernel height, width, stride down, right,
             padding top, bottom, left, right, dilation down, right, bias (0, 1), algorithm
    arrays   W (d_in / groups, h_b, h_a, d_out), b (d_out,)
"""

from libc.string cimport memset

from .._activation cimport ACTIVATION_NONE, Activation
from .._operation cimport (
    BilinearCall, Call, IMAGE, Operation, Range, Sizes, Step, TANGENT, Value, WHOLE, bilinear_call,
    elements_of, goes_back, input_of, set_image, split_elements,
)
from .._bias_relu cimport activation_backward_rows
from .._conv_driver cimport (
    Convolution, conv_adds, conv_backward_prepared, conv_forward_prepared, conv_reads_theta,
    conv_set_images, conv_tiles,
)
from .._geometry cimport Geometry, geometry_default
from .._status cimport OK, SIZE
from .._tile cimport add_run
from .._types cimport real
from .conv_cut cimport BackwardCut, ForwardCut, backward_phase, cut_backward, cut_forward
from .conv_pieces cimport backward_piece, forward_piece
from .filters cimport (
    Filters, convolution_of, new_filters_operation, plan_filters, set_filters,
)


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef Geometry *g = &(<Filters *> step.own).c.g
    cdef const Value *Z = input_of(step, 0)
    cdef const Py_ssize_t *word = step.words
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
    status = set_filters(step, False, word[12], word[13])
    set_image(output, g.b_out, g.a_out, g.d_out)
    return status


# Whether the forward pass reads W in theta, since it has the order of a tile.
cdef inline bint is_unprepared(const Step *step) noexcept nogil:
    return not step.frozen and conv_reads_theta(&(<const Filters *> step.own).c)


cdef inline int sizes(Step *step, Sizes *sizes) noexcept nogil:
    cdef const Filters *own = <const Filters *> step.own
    cdef Py_ssize_t l
    cdef Convolution c
    cdef ForwardCut forward
    cdef BackwardCut backward
    cdef int status = plan_filters(step)
    if status != OK:
        return status
    sizes.prepared = 0 if is_unprepared(step) else own.c.prepared
    sizes.preparing = own.c.preparing
    if not step.frozen:
        sizes.prepared_backward = own.c.prepared_backward
        sizes.preparing = max(sizes.preparing, own.c.preparing_backward)
        if not conv_adds(&own.c):
            # W phi(tZ) of all images
            sizes.shared_tangent = step.images * step.values[step.output].size
    # a pass over fewer images may be cut in another way
    for l in range(1, step.images + 1):
        c = convolution_of(step, l)
        sizes.forward = max(sizes.forward, cut_forward(&c, step.frozen, &forward))
        if not step.frozen:
            sizes.backward = max(sizes.backward, cut_backward(&c, &backward))
            sizes.shared_backward = max(sizes.shared_backward, backward.shared)
    return OK


cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef Convolution c = convolution_of(step, step.images)
    cdef ForwardCut forward
    cdef BackwardCut backward
    if goes_back(direction):
        cut_backward(&c, &backward)
        return backward_phase(&backward, phase)
    cut_forward(&c, step.frozen, &forward)
    if direction == TANGENT and phase == 1 and forward.pieces > 1:
        return split_elements(step, direction, 0)
    return forward.pieces if phase == 0 else 0


# S = sigma(W phi(Z) + W_2 phi(Z_2) + b 1') for all images, or a piece of it. IN: Z, filters; Z_2,
# filters_2 or NULL; b, activation or NULL. OUT: S.
cdef inline void product(
    const Step *step, const Call *call, const real *Z, const real *filters, const real *Z_2,
    const real *filters_2, const real *b, const Activation *activation, real *S,
) noexcept nogil:
    cdef real *scratch = <real *> call.scratch
    cdef Convolution c = convolution_of(step, step.images)
    cdef ForwardCut cut
    if call.phase == WHOLE:
        conv_set_images(&c, call.images)
        conv_forward_prepared(
            &c, Z, filters, Z_2, filters_2, b, activation, S, 0, conv_tiles(&c), scratch
        )
        return
    cut_forward(&c, step.frozen, &cut)
    conv_set_images(&c, call.images)
    forward_piece(&c, &cut, call.piece, Z, filters, Z_2, filters_2, b, activation, S, scratch)


# S = sigma(W phi(Z) + b 1').
cdef inline void forward_real(const Step *step, Call *call, real *S) noexcept nogil:
    cdef const Filters *own = <const Filters *> step.own
    cdef const real *b = NULL
    cdef const real *none = NULL
    cdef const real *filters = <const real *> call.prepared
    if own.has_bias:
        b = <const real *> call.arrays[1]
    if is_unprepared(step):
        filters = <const real *> call.arrays[0]
    product(
        step, call, <const real *> call.inputs[0], filters, none, none, b, &step.activation, S
    )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# vec(dZ) = P_phi' vec(W' dS), dW = sum_i dS^i phi(Z^i)', db = sum_i dS^i 1, or +=.
cdef inline void backward_real(const Step *step, Call *call, real *dS) noexcept nogil:
    cdef const Filters *own = <const Filters *> step.own
    cdef const real *S = <const real *> call.output
    cdef real *db = NULL
    cdef Convolution c = convolution_of(step, step.images)
    cdef BackwardCut cut
    if own.has_bias:
        db = <real *> call.d_arrays[1]
    if call.phase != WHOLE:
        cut_backward(&c, &cut)
        conv_set_images(&c, call.images)
        backward_piece(&c, &cut, step, call, dS, db)
        return
    conv_set_images(&c, call.images)
    if step.activation.code != ACTIVATION_NONE:
        # in one pass: dS, and db(d_out) += dS(d_out, n) 1
        if db != NULL and not call.add_arrays:
            memset(db, 0, c.g.d_out * sizeof(real))
        activation_backward_rows(
            c.g.l * c.g.b_out * c.g.a_out, c.g.d_out, dS, S, &step.activation, dS, db
        )
        db = NULL
    conv_backward_prepared(
        &c, dS, <const real *> call.inputs[0], <const real *> call.arrays[0],
        <const real *> call.prepared_backward, call.add_input[0], <real *> call.d_inputs[0],
        call.add_arrays, <real *> call.d_arrays[0], db, <real *> call.scratch,
    )


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        backward_real(step, call, <double *> call.d_output)
    else:
        backward_real(step, call, <float *> call.d_output)


# tS = sigma' (tW phi(Z) + tb 1' + W phi(tZ)), with sigma' as in the backward pass. In pieces, phase
# 0 computes the products and phase 1 sigma'. If the products cannot be added as they are computed,
# the second is in call.shared, and phase 1 adds it.
cdef inline void tangent_real(const Step *step, Call *call, real *tS) noexcept nogil:
    cdef const Filters *own = <const Filters *> step.own
    cdef const real *tb = NULL
    cdef const real *none = NULL
    cdef const real *filters = <const real *> call.prepared
    cdef const real *t_filters = <const real *> call.t_prepared
    cdef const real *tZ = <const real *> call.t_inputs[0]
    cdef real *second = NULL
    cdef Range part
    if tZ != NULL and not conv_adds(&own.c):
        second = <real *> call.shared
    if own.has_bias:
        tb = <const real *> call.t_arrays[1]
    if is_unprepared(step):
        filters = <const real *> call.arrays[0]
        t_filters = <const real *> call.t_arrays[0]
    if call.phase <= 0:
        product(
            step, call, <const real *> call.inputs[0], t_filters, none if second != NULL else tZ,
            filters, tb, NULL, tS,
        )
        if second != NULL:
            product(step, call, tZ, filters, none, none, none, NULL, second)
    if call.phase == 0:
        return
    part = elements_of(step, call)
    if second != NULL:
        add_run(tS + part.first, <const real *> second + part.first, part.last - part.first)
    activation_backward_rows(
        1, part.last - part.first, <const real *> tS + part.first,
        <const real *> call.output + part.first, &step.activation, tS + part.first, <real *> NULL,
    )


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


# vec(dZ) += P_phi' vec(tW' dS), dW += sum_i dS^i phi(tZ^i)'.
cdef inline void tangent_backward(const Step *step, Call *call) noexcept nogil:
    cdef BilinearCall part
    if bilinear_call(call, &part):
        backward(step, &part.call)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_filters_operation(b"Conv", 14, shape, forward, backward)
    table.sizes = sizes
    table.split = split
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table
