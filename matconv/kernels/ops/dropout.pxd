"""Dropout: 0 for a random part of the elements, x / (1 - rate) for the others; x without masks.

    numbers  rate, 0 <= rate < 1

Element e of an image is dropped if 32 random bits, as an integer, are below 2^32 rate. They are
bits 32 (e mod 8) to 32 (e mod 8) + 31 of the block of Philox4x64-10 with

    counter  (floor(e / 8), number of the image in the data set, index of the step, 0)
    key      (seed, epoch)

Both passes compute them, so that no memory is needed and pieces are independent of each other.
"""

from libc.stdint cimport uint64_t

from .._operation cimport (
    Call, Masks, Operation, Range, Step, Value, elements_of, input_of, new_operation,
    split_elements, tangents_of,
)
from .._philox cimport philox
from .._status cimport OK, SIZE
from .._tile cimport add_run, copy_run
from .._types cimport real

cdef enum:
    BLOCK = 8       # elements for a block of random bits


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    if not 0 <= step.numbers[0] < 1:
        return SIZE
    output[0] = input_of(step, 0)[0]
    return OK


# y = mask . x / (1 - rate), or +=, for the elements first, ..., last - 1 of an image. A dropped
# element is 0 also if x is NaN or infinite. IN: x, the image. OUT: y.
cdef inline void drop(
    const Step *step, const Masks *masks, Py_ssize_t image, Py_ssize_t first, Py_ssize_t last,
    const real *x, bint add, real *y,
) noexcept nogil:
    cdef uint64_t counter[4]
    cdef uint64_t key[2]
    cdef uint64_t words[4]
    cdef uint64_t dropped = <uint64_t> (step.numbers[0] * 4294967296.0)
    cdef real factor = <real> (1 / (1 - step.numbers[0])), kept
    cdef Py_ssize_t block, k
    key[0], key[1] = masks.seed, masks.epoch
    counter[1] = <uint64_t> masks.images[image]
    counter[2], counter[3] = <uint64_t> (step.output - 1), 0
    for block in range(first // BLOCK, (last + BLOCK - 1) // BLOCK):
        counter[0] = <uint64_t> block
        philox(counter, key, words)
        for k in range(max(first, block * BLOCK), min(last, block * BLOCK + BLOCK)):
            kept = 0
            if ((words[k % BLOCK // 2] >> (32 * (k % 2))) & 0xFFFFFFFFULL) >= dropped:
                kept = factor * x[k]
            if add:
                y[k] += kept
            else:
                y[k] = kept


# The same for all elements of a call or of its piece. IN: x. OUT: y.
cdef inline void drop_part(
    const Step *step, const Call *call, const real *x, bint add, real *y
) noexcept nogil:
    cdef Range part = elements_of(step, call)
    cdef Py_ssize_t size = step.values[step.output].size, k = part.first, image, start, last
    if call.masks == NULL and add:
        add_run(y + k, x + k, part.last - k)
    elif call.masks == NULL:
        copy_run(y + k, x + k, part.last - k)
    else:
        while k < part.last:
            image, start = k // size, k // size * size
            last = min(part.last, start + size)
            drop(step, call.masks, image, k - start, last - start, x + start, add, y + start)
            k = last


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        drop_part(
            step, call, <const double *> call.inputs[0], False, <double *> call.output
        )
    else:
        drop_part(step, call, <const float *> call.inputs[0], False, <float *> call.output)


# dZ = mask . dZ_out / (1 - rate), or +=.
cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        drop_part(
            step, call, <const double *> call.d_output, call.add_input[0],
            <double *> call.d_inputs[0],
        )
    else:
        drop_part(
            step, call, <const float *> call.d_output, call.add_input[0],
            <float *> call.d_inputs[0],
        )


# tZ_out = mask . tZ / (1 - rate).
cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    cdef Call of_tangents = tangents_of(call)
    forward(step, &of_tangents)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Dropout", 1, 1, shape, forward, backward)
    table.has_numbers = True
    table.identity = True
    table.split = split_elements
    table.tangent = tangent
    table.flat = True
    return table
