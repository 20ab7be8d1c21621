"""Multiply: the product of its inputs, element by element; images of one pixel and vectors are
multiplied by all pixels of the other inputs."""

from libc.string cimport memset

from .._operation cimport (
    Call, IMAGE, Operation, PIECE_ELEMENTS, Range, Step, Value, elements_of, input_of,
    new_operation, piece_count, piece_length, range_of, same_shape, split_elements,
)
from .._status cimport OK, SIZE
from .._types cimport real
from .add cimport UNLIMITED, shape_of_all


# Whether input k has one pixel where the output has several.
cdef inline bint is_broadcast(const Step *step, int k) noexcept nogil:
    return input_of(step, k).size != step.values[step.output].size


# Whether an input is broadcast.
cdef inline bint any_broadcast(const Step *step) noexcept nogil:
    cdef int k
    for k in range(step.n_inputs):
        if is_broadcast(step, k):
            return True
    return False


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef const Value *Z
    cdef const Value *largest = input_of(step, 0)
    cdef int k
    if shape_of_all(step, output) == OK:
        return OK
    for k in range(step.n_inputs):
        Z = input_of(step, k)
        if Z.rank == IMAGE and Z.height * Z.width > largest.height * largest.width:
            largest = Z
    for k in range(step.n_inputs):
        Z = input_of(step, k)
        if Z.channels != largest.channels:
            return SIZE
        if not same_shape(Z, largest) and (
            Z.height * Z.width != 1 or largest.height * largest.width == 1
        ):
            return SIZE
    output[0] = largest[0]
    return OK


# Images of a piece where an input is broadcast.
cdef inline Py_ssize_t images_length(const Step *step) noexcept nogil:
    cdef Py_ssize_t size = step.values[step.output].size
    return piece_length(step.images, <double> size * step.n_inputs, PIECE_ELEMENTS)


cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    if not any_broadcast(step):
        return split_elements(step, direction, phase)
    return piece_count(step.images, images_length(step)) if phase == 0 else 0


# The elements of a call.
cdef inline Range part_of(const Step *step, const Call *call) noexcept nogil:
    cdef Range part
    if not any_broadcast(step):
        return elements_of(step, call)
    part = range_of(call, call.images, images_length(step))
    part.first *= step.values[step.output].size
    part.last *= step.values[step.output].size
    return part


# y *= Z_i for elements first to last - 1 of the output. IN: Z. INOUT: y, from `first` on.
cdef inline void multiply_by(
    const Step *step, int i, const real *Z, Py_ssize_t first, Py_ssize_t last, real *y
) noexcept nogil:
    cdef Py_ssize_t d = step.values[step.output].channels, size = step.values[step.output].size
    cdef Py_ssize_t k, c
    if not is_broadcast(step, i):
        for k in range(first, last):
            y[k - first] *= Z[k]
        return
    for k in range(first // d, last // d):
        for c in range(d):
            y[k * d + c - first] *= Z[k * d // size * d + c]


# Z_out = prod_k Z_k.
cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Range part = part_of(step, call)
    cdef Py_ssize_t k
    cdef const real *Z = <const real *> call.inputs[0]
    cdef int i
    if is_broadcast(step, 0):
        for k in range(part.first, part.last):
            Z_out[k] = 1
        multiply_by(step, 0, Z, part.first, part.last, Z_out + part.first)
    else:
        for k in range(part.first, part.last):
            Z_out[k] = Z[k]
    for i in range(1, step.n_inputs):
        multiply_by(
            step, i, <const real *> call.inputs[i], part.first, part.last, Z_out + part.first
        )


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# The product of a factor and of element k of all inputs but i; `one` is the element of images of
# one pixel.
cdef inline real product_of_others(
    const Step *step, const Call *call, int i, real factor, Py_ssize_t k, Py_ssize_t one
) noexcept nogil:
    cdef real product = factor
    cdef int j
    for j in range(step.n_inputs):
        if j != i and is_broadcast(step, j):
            product = product * (<const real *> call.inputs[j])[one]
        elif j != i:
            product = product * (<const real *> call.inputs[j])[k]
    return product


# dZ_i = dZ_out prod_{j != i} Z_j, without a division, since elements may be zero; summed over the
# pixels of an input that is broadcast.
cdef inline void broadcast_backward(
    const Step *step, const Call *call, const real *dZ_out
) noexcept nogil:
    cdef Range part = range_of(call, call.images, images_length(step))
    cdef Py_ssize_t d = step.values[step.output].channels, size = step.values[step.output].size
    cdef Py_ssize_t k, image, pixel, c, one
    cdef real *dZ
    cdef real product
    cdef int i
    for i in range(step.n_inputs):
        dZ = <real *> call.d_inputs[i]
        if dZ == NULL:
            continue
        for image in range(part.first, part.last):
            if is_broadcast(step, i) and not call.add_input[i]:
                memset(dZ + image * d, 0, d * sizeof(real))
            for pixel in range(size // d):
                for c in range(d):
                    k, one = image * size + pixel * d + c, image * d + c
                    product = product_of_others(step, call, i, dZ_out[k], k, one)
                    if is_broadcast(step, i):
                        dZ[one] += product
                    else:
                        dZ[k] = dZ[k] + product if call.add_input[i] else product


# dZ_i = dZ_out prod_{j != i} Z_j.
cdef inline void backward_real(const Step *step, Call *call, const real *dZ_out) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef Py_ssize_t k
    cdef const real *Z
    cdef real *dZ
    cdef real product
    cdef int i, j
    if any_broadcast(step):
        broadcast_backward(step, call, dZ_out)
        return
    for i in range(step.n_inputs):
        dZ = <real *> call.d_inputs[i]
        if dZ == NULL:
            continue
        for k in range(part.first, part.last):
            product = dZ_out[k]
            for j in range(step.n_inputs):
                if j != i:
                    Z = <const real *> call.inputs[j]
                    product = product * Z[k]
            dZ[k] = dZ[k] + product if call.add_input[i] else product


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        backward_real(step, call, <const double *> call.d_output)
    else:
        backward_real(step, call, <const float *> call.d_output)


# tZ_out = sum_i tZ_i prod_{j != i} Z_j.
cdef inline void tangent_real(const Step *step, Call *call, real *tZ_out) noexcept nogil:
    cdef Range part = part_of(step, call)
    cdef Py_ssize_t d = step.values[step.output].channels, size = step.values[step.output].size
    cdef Py_ssize_t k, one
    cdef const real *tZ
    cdef real factor
    cdef int i
    for k in range(part.first, part.last):
        tZ_out[k] = 0
    for i in range(step.n_inputs):
        tZ = <const real *> call.t_inputs[i]
        if tZ == NULL:
            continue
        for k in range(part.first, part.last):
            one = k // size * d + k % d
            factor = tZ[one] if is_broadcast(step, i) else tZ[k]
            tZ_out[k] += product_of_others(step, call, i, factor, k, one)


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


# The product of element k of all inputs but i and j; `one` is as for `product_of_others`.
cdef inline real product_without(
    const Step *step, const Call *call, int i, int j, real factor, Py_ssize_t k, Py_ssize_t one
) noexcept nogil:
    cdef real product = factor
    cdef int m
    for m in range(step.n_inputs):
        if m != i and m != j:
            product = product * (
                <const real *> call.inputs[m]
            )[one if is_broadcast(step, m) else k]
    return product


# dZ_i += dZ_out sum_{j != i} tZ_j prod_{m != i, j} Z_m, summed over the pixels of an input that is
# broadcast.
cdef inline void tangent_backward_real(
    const Step *step, Call *call, const real *dZ_out
) noexcept nogil:
    cdef Range part = part_of(step, call)
    cdef Py_ssize_t d = step.values[step.output].channels, size = step.values[step.output].size
    cdef Py_ssize_t k, one
    cdef const real *tZ
    cdef real *dZ
    cdef real factor
    cdef int i, j
    for i in range(step.n_inputs):
        dZ = <real *> call.d_inputs[i]
        if dZ == NULL:
            continue
        for j in range(step.n_inputs):
            tZ = <const real *> call.t_inputs[j]
            if j == i or tZ == NULL:
                continue
            for k in range(part.first, part.last):
                one = k // size * d + k % d
                factor = dZ_out[k] * (tZ[one] if is_broadcast(step, j) else tZ[k])
                dZ[one if is_broadcast(step, i) else k] += product_without(
                    step, call, i, j, factor, k, one
                )


cdef inline void tangent_backward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_backward_real(step, call, <const double *> call.d_output)
    else:
        tangent_backward_real(step, call, <const float *> call.d_output)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Multiply", 2, UNLIMITED, shape, forward, backward)
    table.split = split
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table
