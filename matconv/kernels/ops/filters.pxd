"""What steps with filters share: a convolution, or the adjoint of one, with W and b."""

from .._operation cimport Call, Operation, Pass, Shape, Step, new_operation
from .._algorithms cimport AUTO, IM2COL, WINOGRAD, choose_tile
from .._conv_direct cimport direct_pays
from .._conv_driver cimport (
    Convolution, conv_plan, conv_prepare, conv_prepare_backward, conv_reads_theta,
    conv_same_prepared, conv_set_images,
)
from .._conv_im2col cimport is_transposed
from .._geometry cimport Geometry, geometry_init
from .._status cimport ALGORITHM, OK, SIZE
from .._tile cimport copy_run
from .._types cimport real


# The data of a step in `own`.
cdef struct Filters:
    Convolution c           # for the images of the plan
    bint adjoint            # the step is the adjoint of c, so that images of c are its output
    bint has_bias
    int algorithm


# Set the members of a step with filters that follow from its geometry, which is that of one image.
cdef inline int set_filters(
    Step *step, bint adjoint, Py_ssize_t has_bias, Py_ssize_t algorithm
) noexcept nogil:
    cdef Filters *own = <Filters *> step.own
    cdef Geometry *g = &own.c.g
    cdef int status
    if not 0 <= has_bias <= 1:
        return SIZE
    if not AUTO <= algorithm <= WINOGRAD:
        return ALGORITHM
    status = geometry_init(g)
    if status != OK:
        return status
    own.adjoint = adjoint
    own.has_bias = has_bias == 1
    own.algorithm = <int> algorithm
    step.n_arrays = 2 if own.has_bias else 1
    step.array_size[0] = g.K * g.d_out
    step.array_size[1] = g.d if adjoint else g.d_out
    step.fan_in = g.K
    step.multiply_adds = <double> g.b_out * g.a_out * g.d_out * g.K
    return OK


# Choose the algorithm for the usual number of images and plan for the maximum. Returns a status.
cdef inline int plan_filters(Step *step) noexcept nogil:
    cdef Filters *own = <Filters *> step.own
    cdef Geometry g = own.c.g, usual = own.c.g
    cdef Py_ssize_t m_b = 0, m_a = 0
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
    return conv_plan(&g, step.is_double, m_b, m_a, &own.c)


# The convolution for l images, not more than planned.
cdef inline Convolution convolution_of(const Step *step, Py_ssize_t l) noexcept nogil:
    cdef Convolution c = (<const Filters *> step.own).c
    conv_set_images(&c, l)
    return c


# `prepare` for one dtype: filters for the convolution or, if adjoint, for its adjoint, unless the
# pass reads W in theta; a frozen network keeps prepared parameters only. OUT: prepared.
cdef inline void prepare_real(
    const Step *step, bint adjoint, const real *W, real *prepared, real *scratch
) noexcept nogil:
    cdef const Convolution *c = &(<const Filters *> step.own).c
    if not adjoint:
        if step.frozen or not conv_reads_theta(c):
            conv_prepare(c, W, prepared, scratch)
    elif not c.reads_W:
        conv_prepare_backward(c, W, prepared, 0, c.g.d_out, scratch)
    elif step.frozen:
        copy_run(prepared, W, c.prepared)


# The entry `prepare`.
cdef inline void prepare(const Step *step, Call *call, bint backward) noexcept nogil:
    cdef bint adjoint = (<const Filters *> step.own).adjoint != backward
    cdef void *prepared = call.prepared_backward if backward else call.prepared
    if step.is_double:
        prepare_real(
            step, adjoint, <const double *> call.arrays[0], <double *> prepared,
            <double *> call.scratch,
        )
    else:
        prepare_real(
            step, adjoint, <const float *> call.arrays[0], <float *> prepared,
            <float *> call.scratch,
        )


# W of channel c: W = gain_c W, b_c = gain_c b_c + bias_c. Rows of W are (channel of a group, tap);
# the channels of the output are the columns or, of an adjoint, those of the rows in each group.
cdef inline void absorb_real(
    const Step *step, const real *gain, const real *bias, real *W, real *b
) noexcept nogil:
    cdef const Filters *own = <const Filters *> step.own
    cdef const Geometry *g = &own.c.g
    cdef Py_ssize_t row, o, channel, d_out = g.d_out, hh = g.h_b * g.h_a
    for row in range(g.K):
        for o in range(d_out):
            channel = o // g.d_out_g * g.d_g + row // hh if own.adjoint else o
            W[row * d_out + o] *= gain[channel]
    for channel in range(step.array_size[1]):
        b[channel] = gain[channel] * b[channel] + bias[channel]


# The entry `absorb`.
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


# The entry `same_prepared`.
cdef inline bint same_prepared(const Step *one, const Step *other) noexcept nogil:
    cdef const Filters *x = <const Filters *> one.own
    cdef const Filters *y = <const Filters *> other.own
    # the filters of an adjoint are those of the backward pass, whose order depends on these
    if x.adjoint and (
        x.c.reads_W != y.c.reads_W or is_transposed(&x.c.g) != is_transposed(&y.c.g)
    ):
        return False
    return conv_same_prepared(&x.c, &y.c)


# A table with the entries above; `sizes` and `split` are not set.
cdef inline Operation new_filters_operation(
    const char *name, int n_words, Shape shape, Pass forward, Pass backward
) noexcept:
    cdef Operation table = new_operation(name, 1, 1, shape, forward, backward)
    table.n_words = n_words
    table.own_size = sizeof(Filters)
    table.fused = True
    table.prepare = prepare
    table.prepared_arrays = 1
    table.absorb = absorb
    table.same_prepared = same_prepared
    return table
