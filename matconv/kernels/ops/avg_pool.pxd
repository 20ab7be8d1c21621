"""AvgPool: the mean of each window, channel by channel.

    words    those of MaxPool, and the rows at the bottom and columns at the right of the padding
             that counts, with that at the top and left; -1, -1: only pixels of the image count
"""

from .._operation cimport (
    Call, Operation, Range, Step, Value, new_operation, tangents_of,
)
from .._geometry cimport Geometry
from .._pool_loops cimport avg_pool, avg_pool_backward
from .._status cimport OK, SIZE
from .._types cimport real
from .max_pool cimport gradient_rows, rows_of, split, window_shape


cdef inline int avg_pool_shape(Step *step, Value *output) noexcept nogil:
    cdef const Geometry *g = <const Geometry *> step.own
    cdef const Py_ssize_t *counted = step.words + 8
    cdef int status = window_shape(step, output)
    if status != OK:
        return status
    if counted[0] == -1 and counted[1] == -1:
        return OK
    # windows may extend beyond the padding that counts, but begin before its end
    if not 0 <= counted[0] <= g.bottom or not 0 <= counted[1] <= g.right:
        return SIZE
    return OK


# The padding that counts, or NULL.
cdef inline const Py_ssize_t *counted_of(const Step *step) noexcept nogil:
    return NULL if step.words[8] < 0 else step.words + 8


# Z_out = the means of the windows of Z.
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Geometry g = (<const Geometry *> step.own)[0]
    cdef Range rows = rows_of(step, call)
    g.l = call.images
    avg_pool(
        &g, counted_of(step), <const real *> call.inputs[0], Z_out, rows.first, rows.last
    )


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
    avg_pool_backward(
        &g, counted_of(step), <const real *> call.d_output, dZ, rows.first, rows.last
    )


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <double *> call.d_inputs[0])
    else:
        backward_real(step, call, <float *> call.d_inputs[0])


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    cdef Call of_tangents = tangents_of(call)
    forward(step, &of_tangents)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"AvgPool", 1, 1, avg_pool_shape, forward, backward)
    table.n_words = 10
    table.own_size = sizeof(Geometry)
    table.split = split
    table.tangent = tangent
    table.flat = True
    return table
