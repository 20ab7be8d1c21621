"""MaxPool: the maximum of each window, channel by channel; of equal numbers the first.

    words    window height, width, stride down, right, padding top, bottom, left, right
    saved    for each number of the output the pixel that it came from, an int
"""

from libc.limits cimport INT_MAX
from libc.string cimport memset

from .._operation cimport Call, IMAGE, Operation, Sizes, Step, Value, input_of, set_image
from ..geometry cimport Geometry, geometry_default, geometry_init
from ..pool_loops cimport max_pool, max_pool_backward
from ..status cimport OK, OVERFLOW, PADDING, SIZE
from ..types cimport real


# The window of a pooling step; OUT: step.own, output.
cdef inline int window_shape(Step *step, Value *output) noexcept nogil:
    cdef Geometry *g = <Geometry *> step.own
    cdef const Value *Z = input_of(step, 0)
    cdef const Py_ssize_t *word = step.words
    cdef int status
    if Z.rank != IMAGE:
        return SIZE
    geometry_default(g)
    g.l = 1
    g.b, g.a, g.d = Z.height, Z.width, Z.channels
    g.d_out = g.d
    g.h_b, g.h_a = word[0], word[1]
    g.s_b, g.s_a = word[2], word[3]
    g.top, g.bottom, g.left, g.right = word[4], word[5], word[6], word[7]
    status = geometry_init(g)
    if status != OK:
        return status
    if g.top >= g.h_b or g.bottom >= g.h_b or g.left >= g.h_a or g.right >= g.h_a:
        return PADDING
    if g.b > INT_MAX // g.a:
        return OVERFLOW
    set_image(output, g.b_out, g.a_out, g.d)
    return OK


cdef inline int max_pool_sizes(Step *step, Sizes *sizes) noexcept nogil:
    sizes.saved = step.values[step.output].size * <Py_ssize_t> sizeof(int)
    return OK


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    cdef Geometry g = (<const Geometry *> step.own)[0]
    g.l = call.images
    if step.is_double:
        max_pool(
            &g, <const double *> call.inputs[0], <double *> call.output, <int *> call.saved
        )
    else:
        max_pool(&g, <const float *> call.inputs[0], <float *> call.output, <int *> call.saved)


cdef inline void backward_real(
    const Geometry *g, Call *call, const real *dZ_out, real *dZ
) noexcept nogil:
    if not call.add_input[0]:
        memset(dZ, 0, g.l * g.b * g.a * g.d * sizeof(real))
    max_pool_backward(g, dZ_out, <const int *> call.saved, dZ)


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
    table.name = b"MaxPool"
    table.min_inputs = table.max_inputs = 1
    table.n_words = 8
    table.own_size = sizeof(Geometry)
    table.shape = window_shape
    table.sizes = max_pool_sizes
    table.forward = forward
    table.backward = backward
    return table
