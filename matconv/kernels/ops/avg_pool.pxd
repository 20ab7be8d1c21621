"""AvgPool: the mean of each window, without padding, channel by channel.

    words    those of MaxPool
"""

from .._operation cimport Call, Operation, Range, Step, new_operation
from .._geometry cimport Geometry
from .._pool_loops cimport avg_pool, avg_pool_backward
from .._types cimport real
from .max_pool cimport gradient_rows, rows_of, split, window_shape


# Z_out = the means of the windows of Z.
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Geometry g = (<const Geometry *> step.own)[0]
    cdef Range rows = rows_of(step, call)
    g.l = call.images
    avg_pool(&g, <const real *> call.inputs[0], Z_out, rows.first, rows.last)


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# dZ = the adjoint of the forward pass, or +=.
cdef inline void backward_real(const Step *step, Call *call, real *dZ) noexcept nogil:
    cdef Geometry g = (<const Geometry *> step.own)[0]
    cdef Range rows = gradient_rows(step, call, dZ)
    g.l = call.images
    avg_pool_backward(&g, <const real *> call.d_output, dZ, rows.first, rows.last)


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <double *> call.d_inputs[0])
    else:
        backward_real(step, call, <float *> call.d_inputs[0])


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"AvgPool", 1, 1, window_shape, forward, backward)
    table.n_words = 8
    table.own_size = sizeof(Geometry)
    table.split = split
    return table
