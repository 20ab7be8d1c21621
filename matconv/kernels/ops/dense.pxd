"""Dense: z = W vec(Z) + b, a 1 x 1 convolution on images of one pixel.

    words    units, bias (0, 1)
    arrays   W (inputs, units), b (units,)
"""

from .._operation cimport Operation, Step, Value, input_of, set_vector
from .._algorithms cimport IM2COL
from .._geometry cimport geometry_default
from .conv cimport backward, forward, sizes, split, tangent, tangent_backward
from .filters cimport Filters, new_filters_operation, set_filters


cdef inline int dense_shape(Step *step, Value *output) noexcept nogil:
    cdef Filters *own = <Filters *> step.own
    cdef int status
    geometry_default(&own.c.g)
    own.c.g.l = own.c.g.b = own.c.g.a = own.c.g.h_b = own.c.g.h_a = 1
    own.c.g.d = input_of(step, 0).size
    own.c.g.d_out = step.words[0]
    status = set_filters(step, False, step.words[1], IM2COL)
    set_vector(output, own.c.g.d_out)
    return status


cdef inline Operation operation() noexcept:
    cdef Operation table = new_filters_operation(b"Dense", 2, dense_shape, forward, backward)
    table.sizes = sizes
    table.split = split
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table
