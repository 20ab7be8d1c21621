"""Copying rows between an image and its part inside of borders, for Crop and Pad.

The borders are rows at the top, bottom and columns at the left, right. Rows are counted through all
images.
"""

from .._operation cimport (
    BACKWARD, PIECE_ELEMENTS, Range, Step, Value, input_of, piece_count, piece_length,
)
from .._tile cimport add_run, copy_run, zero_run
from .._types cimport real


# Pieces are rows of the output in the forward pass, of the input in the backward pass.
cdef inline const Value *rows_value(const Step *step, int direction) noexcept nogil:
    return input_of(step, 0) if direction == BACKWARD else &step.values[step.output]


# Rows of a piece.
cdef inline Py_ssize_t rows_length(const Step *step, int direction) noexcept nogil:
    cdef const Value *value = rows_value(step, direction)
    return piece_length(step.images * value.height, value.size / value.height, PIECE_ELEMENTS)


# The entry `split`.
cdef inline Py_ssize_t split_rows(const Step *step, int direction, int phase) noexcept nogil:
    cdef Py_ssize_t rows = step.images * rows_value(step, direction).height
    return piece_count(rows, rows_length(step, direction)) if phase == 0 else 0


# Rows of `inner`, from `outer` inside of the borders, or += if add. IN: outer. OUT: inner.
cdef inline void take_inner(
    const Value *large, const Value *small, const Py_ssize_t *borders, Range rows, bint add,
    const real *outer, real *inner,
) noexcept nogil:
    cdef Py_ssize_t row = small.width * small.channels, t, y
    cdef const real *source
    for t in range(rows.first, rows.last):
        y = t // small.height * large.height + borders[0] + t % small.height
        source = outer + (y * large.width + borders[2]) * large.channels
        if add:
            add_run(inner + t * row, source, row)
        else:
            copy_run(inner + t * row, source, row)


# Rows of `outer`: `inner` inside of the borders, and 0 in them; or += if add. IN: inner. OUT:
# outer.
cdef inline void put_inner(
    const Value *large, const Value *small, const Py_ssize_t *borders, Range rows, bint add,
    const real *inner, real *outer,
) noexcept nogil:
    cdef Py_ssize_t row = small.width * small.channels, left = borders[2] * small.channels, t, y
    cdef Py_ssize_t right = borders[3] * small.channels
    cdef const real *source
    outer += rows.first * large.width * large.channels
    for t in range(rows.first, rows.last):
        y = t % large.height - borders[0]
        if 0 <= y < small.height:
            source = inner + (t // large.height * small.height + y) * row
            if add:
                add_run(outer + left, source, row)
            else:
                zero_run(outer, left)
                copy_run(outer + left, source, row)
                zero_run(outer + left + row, right)
        elif not add:
            zero_run(outer, left + row + right)
        outer += left + row + right
