"""AvgPool: the mean of each window's pixels, without padding, channel by channel.

    words    as of MaxPool
"""

from libc.string cimport memset

from .._operation cimport Call, Operation, Step
from ..geometry cimport Geometry
from ..pool_loops cimport avg_pool, avg_pool_backward
from ..types cimport real
from .max_pool cimport window_shape


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    cdef Geometry g = (<const Geometry *> step.own)[0]
    g.l = call.images
    if step.is_double:
        avg_pool(&g, <const double *> call.inputs[0], <double *> call.output)
    else:
        avg_pool(&g, <const float *> call.inputs[0], <float *> call.output)


cdef inline void backward_real(
    const Geometry *g, Call *call, const real *dZ_out, real *dZ
) noexcept nogil:
    if not call.add_input[0]:
        memset(dZ, 0, g.l * g.b * g.a * g.d * sizeof(real))
    avg_pool_backward(g, dZ_out, dZ)


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    cdef Geometry g = (<const Geometry *> step.own)[0]
    g.l = call.images
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(&g, call, <const double *> call.d_output, <double *> call.d_inputs[0])
    else:
        backward_real(&g, call, <const float *> call.d_output, <float *> call.d_inputs[0])


cdef inline Operation operation() noexcept:
    cdef Operation table
    memset(&table, 0, sizeof(Operation))
    table.name = b"AvgPool"
    table.min_inputs = table.max_inputs = 1
    table.n_words = 8
    table.own_size = sizeof(Geometry)
    table.shape = window_shape
    table.forward = forward
    table.backward = backward
    return table
