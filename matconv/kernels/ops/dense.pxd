"""Dense: z = W vec(Z) + b, a 1 x 1 convolution on images of one pixel.

    words    units, bias (0, 1)
    arrays   W (inputs, units), b (units,)
"""

from .._operation cimport Operation, Step, Value, input_of, new_operation, set_vector
from .._algorithms cimport IM2COL
from .._geometry cimport geometry_default
from .._status cimport OK, SIZE
from .conv cimport (
    Filters, absorb, backward, forward, prepare, same_prepared, set_filters, sizes, split,
    tangent, tangent_backward,
)


cdef inline int dense_shape(Step *step, Value *output) noexcept nogil:
    cdef Filters *own = <Filters *> step.own
    cdef int status
    geometry_default(&own.c.g)
    own.c.g.l = own.c.g.b = own.c.g.a = own.c.g.h_b = own.c.g.h_a = 1
    own.c.g.d = input_of(step, 0).size
    own.c.g.d_out = step.words[0]
    if not 0 <= step.words[1] <= 1:
        return SIZE
    status = set_filters(step, step.words[1] == 1, IM2COL)
    set_vector(output, own.c.g.d_out)
    return status


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Dense", 1, 1, dense_shape, forward, backward)
    table.n_words = 2
    table.own_size = sizeof(Filters)
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
