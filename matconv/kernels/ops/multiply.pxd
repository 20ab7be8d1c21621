"""Multiply: the product of its inputs, element by element; images of one pixel and vectors are
multiplied by all pixels of the other inputs."""

from libc.string cimport memset

from .._operation cimport (
    BACKWARD, Call, IMAGE, Operation, PIECE_ELEMENTS, Range, Sizes, Step, TANGENT_BACKWARD, Value,
    WHOLE, elements_of, input_of, new_operation, piece_bound, piece_count, piece_length, range_of,
    same_shape, split_elements,
)
from .._status cimport OK, SIZE
from .._tile cimport add_run
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


# Pieces where an input is broadcast: several images, or several pixels of one.
cdef struct Parts:
    Py_ssize_t images       # of a piece; 1 if an image has several bands
    Py_ssize_t bands        # of an image
    Py_ssize_t pixels       # of a band
    Py_ssize_t pieces


# Pixels of an image.
cdef inline Py_ssize_t pixels_of(const Step *step) noexcept nogil:
    return step.values[step.output].height * step.values[step.output].width


# Work of an image.
cdef inline double image_work(const Step *step) noexcept nogil:
    return <double> step.values[step.output].size * step.n_inputs


# Divide a pass over step.images images.
cdef inline Parts parts_of(const Step *step) noexcept nogil:
    cdef Parts parts
    cdef Py_ssize_t pixels = pixels_of(step)
    parts.images = piece_length(step.images, image_work(step), PIECE_ELEMENTS)
    parts.bands, parts.pixels = 1, pixels
    parts.pieces = piece_count(step.images, parts.images)
    if parts.pieces == step.images:
        # bands of all images, not more than there may be pieces
        parts.bands = min(
            piece_bound(step.images, image_work(step), PIECE_ELEMENTS) // step.images, pixels
        )
        parts.pixels = (pixels + parts.bands - 1) // parts.bands
        parts.bands = (pixels + parts.pixels - 1) // parts.pixels
        parts.pieces = step.images * parts.bands
    return parts


# Phases of the backward pass, if an image has several bands: sums over the pixels of each band in
# `shared`; then the sums of these, in their order, for each image.
cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef Parts parts
    if not any_broadcast(step):
        return split_elements(step, direction, phase)
    parts = parts_of(step)
    if direction == TANGENT_BACKWARD and parts.bands > 1:
        # not shared
        return 1 if phase == 0 else 0
    if phase == 0:
        return parts.pieces
    return step.images if phase == 1 and direction == BACKWARD and parts.bands > 1 else 0


cdef inline int sizes(Step *step, Sizes *sizes) noexcept nogil:
    cdef Py_ssize_t pieces = piece_bound(step.images, image_work(step), PIECE_ELEMENTS)
    if any_broadcast(step) and pieces > 1:
        sizes.shared_backward = pieces * step.n_inputs * step.values[step.output].channels
    return OK


# The pixels of a call where an input is broadcast, counted through all images.
cdef inline Range pixels_of_call(const Step *step, const Call *call) noexcept nogil:
    cdef Py_ssize_t pixels = pixels_of(step), image
    cdef Parts parts = parts_of(step)
    cdef Range part
    if call.phase == WHOLE or parts.bands == 1:
        part = range_of(call, call.images, parts.images)
        part.first *= pixels
        part.last *= pixels
        return part
    image = call.piece // parts.bands
    part.first = part.last = 0
    if image < call.images:
        part.first = image * pixels + call.piece % parts.bands * parts.pixels
        part.last = min(part.first + parts.pixels, (image + 1) * pixels)
    return part


# The elements of a call.
cdef inline Range part_of(const Step *step, const Call *call) noexcept nogil:
    cdef Range part
    if not any_broadcast(step):
        return elements_of(step, call)
    part = pixels_of_call(step, call)
    part.first *= step.values[step.output].channels
    part.last *= step.values[step.output].channels
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


# The product of element k of dZ_out and of all inputs but i; `one` is the element of images of one
# pixel.
cdef inline real product_of_others(
    const Step *step, const Call *call, int i, const real *dZ_out, Py_ssize_t k, Py_ssize_t one
) noexcept nogil:
    cdef real product = dZ_out[k]
    cdef int j
    for j in range(step.n_inputs):
        if j != i and is_broadcast(step, j):
            product = product * (<const real *> call.inputs[j])[one]
        elif j != i:
            product = product * (<const real *> call.inputs[j])[k]
    return product


# dZ_i = dZ_out prod_{j != i} Z_j, without a division, since elements may be zero, for pixels of one
# image. INOUT: dZ, the array or, if the input is broadcast, a sum over pixels, added to.
cdef inline void image_gradient(
    const Step *step, const Call *call, int i, const real *dZ_out, Py_ssize_t image, Range part,
    real *dZ,
) noexcept nogil:
    cdef Py_ssize_t d = step.values[step.output].channels, pixel, k, c
    cdef bint broadcast = is_broadcast(step, i), add = call.add_input[i]
    cdef real product
    for pixel in range(part.first, part.last):
        for c in range(d):
            k = pixel * d + c
            product = product_of_others(step, call, i, dZ_out, k, image * d + c)
            if broadcast:
                dZ[c] += product
            else:
                dZ[k] = dZ[k] + product if add else product


# The sum of a band for input i, in the shared scratch.
cdef inline real *band_sum(const Step *step, real *shared, Py_ssize_t piece, int i) noexcept nogil:
    return shared + (piece * step.n_inputs + i) * step.values[step.output].channels


# The gradients for the pixels of a call.
cdef inline void pixels_gradient(
    const Step *step, const Call *call, const real *dZ_out
) noexcept nogil:
    cdef Py_ssize_t d = step.values[step.output].channels, pixels = pixels_of(step), image
    cdef bint by_bands = call.phase != WHOLE and parts_of(step).bands > 1
    cdef Range all_pixels = pixels_of_call(step, call), part
    cdef real *dZ
    cdef int i
    for i in range(step.n_inputs):
        if call.d_inputs[i] == NULL:
            continue
        for image in range(all_pixels.first // pixels, (all_pixels.last + pixels - 1) // pixels):
            part.first = max(all_pixels.first, image * pixels)
            part.last = min(all_pixels.last, (image + 1) * pixels)
            dZ = <real *> call.d_inputs[i]
            if is_broadcast(step, i):
                dZ += image * d
                if by_bands:
                    dZ = band_sum(step, <real *> call.shared, call.piece, i)
                if by_bands or not call.add_input[i]:
                    memset(dZ, 0, d * sizeof(real))
            image_gradient(step, call, i, dZ_out, image, part, dZ)


# Phase 1, for an image: the sums of its bands.
cdef inline void add_bands(const Step *step, const Call *call, real *shared) noexcept nogil:
    cdef Py_ssize_t d = step.values[step.output].channels, bands = parts_of(step).bands, k
    cdef real *dZ
    cdef int i
    if call.piece >= call.images:
        return
    for i in range(step.n_inputs):
        if call.d_inputs[i] == NULL or not is_broadcast(step, i):
            continue
        dZ = <real *> call.d_inputs[i] + call.piece * d
        if not call.add_input[i]:
            memset(dZ, 0, d * sizeof(real))
        for k in range(bands):
            add_run(dZ, band_sum(step, shared, call.piece * bands + k, i), d)


# dZ_i = dZ_out prod_{j != i} Z_j.
cdef inline void backward_real(const Step *step, Call *call, const real *dZ_out) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef Py_ssize_t k
    cdef const real *Z
    cdef real *dZ
    cdef real product
    cdef int i, j
    if any_broadcast(step):
        if call.phase == 1:
            add_bands(step, call, <real *> call.shared)
        else:
            pixels_gradient(step, call, dZ_out)
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
            tZ_out[k] += product_without(step, call, i, i, factor, k, one)


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


# The product of a factor and element k of all inputs but i and j; `one` is as for
# `product_of_others`.
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
    table.sizes = sizes
    table.split = split
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table
