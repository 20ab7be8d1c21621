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
    BilinearCall, Call, IMAGE, Operation, Range, Sizes, Step, TANGENT, Value, WHOLE, bilinear_call,
    goes_back, input_of, set_image,
)
from .._bias_relu cimport activation_backward_rows, bias_activation_rows
from .._conv_driver cimport (
    Convolution, conv_backward_prepared, conv_reads_theta, conv_set_images,
)
from .._geometry cimport Geometry, geometry_default, transposed_length
from .._status cimport OK, SIZE
from .._types cimport real
from .conv_transpose_pieces cimport (
    TransposedCut, cut_transposed, input_gradient, pixels_gradient, transposed_backward_phase,
    transposed_backward_piece, transposed_forward_phase, transposed_forward_piece,
    transposed_images,
)
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
        status = set_filters(step, True, word[14], word[15])
    if status != OK:
        return status
    if g.b_out != Z.height or g.a_out != Z.width:
        return SIZE
    # taps of one output are s apart
    step.fan_in = g.d_out_g * ((g.h_b - 1) // g.s_b + 1) * ((g.h_a - 1) // g.s_a + 1)
    set_image(output, g.b, g.a, g.d)
    return OK


cdef inline int sizes(Step *step, Sizes *sizes) noexcept nogil:
    cdef const Filters *own = <const Filters *> step.own
    cdef const Geometry *g = &own.c.g
    cdef Py_ssize_t l, filters
    cdef Convolution c
    cdef TransposedCut cut
    cdef int status = plan_filters(step)
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
    if direction == TANGENT:
        # not shared
        return 1 if phase == 0 else 0
    cut_transposed(&c, goes_back(direction), &cut)
    if goes_back(direction):
        return transposed_backward_phase(&cut, phase)
    return transposed_forward_phase(&c, &cut, phase)


# S = sigma(P_phi' W' Z + b 1').
cdef inline void forward_real(const Step *step, Call *call, real *S) noexcept nogil:
    cdef const real *b = NULL
    cdef const real *Z = <const real *> call.inputs[0]
    # read only if c.reads_W
    cdef const real *W = <const real *> (call.prepared if step.frozen else call.arrays[0])
    cdef Convolution c = convolution_of(step, step.images)
    cdef TransposedCut cut
    if (<const Filters *> step.own).has_bias:
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
    if (<const Filters *> step.own).has_bias:
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


# tS = sigma' (P_phi' tW' Z + P_phi' W' tZ + tb 1'), with sigma' as in the backward pass.
cdef inline void tangent_real(const Step *step, Call *call, real *tS) noexcept nogil:
    cdef const real *tb = NULL
    cdef const real *Z = <const real *> call.inputs[0]
    cdef const real *tZ = <const real *> call.t_inputs[0]
    cdef Convolution c = convolution_of(step, call.images)
    cdef const Geometry *g = &c.g
    if (<const Filters *> step.own).has_bias:
        tb = <const real *> call.t_arrays[1]
    conv_backward_prepared(
        &c, Z, <const real *> NULL, <const real *> call.t_arrays[0],
        <const real *> call.t_prepared, False, tS, False, <real *> NULL, <real *> NULL,
        <real *> call.scratch,
    )
    if tZ != NULL:
        conv_backward_prepared(
            &c, tZ, <const real *> NULL, <const real *> call.arrays[0],
            <const real *> call.prepared, True, tS, False, <real *> NULL, <real *> NULL,
            <real *> call.scratch,
        )
    bias_activation_rows(g.l * g.b * g.a, g.d, <const real *> tS, tb, NULL, tS)
    activation_backward_rows(
        g.l * g.b * g.a, g.d, <const real *> tS, <const real *> call.output, &step.activation, tS,
        <real *> NULL,
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


cdef inline Operation operation() noexcept:
    cdef Operation table = new_filters_operation(b"ConvTranspose", 16, shape, forward, backward)
    table.sizes = sizes
    table.split = split
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table
