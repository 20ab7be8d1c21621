"""Checks of labels, targets and weights of the C interface, as `matconv.losses` checks them."""

from libc.float cimport DBL_EPSILON, FLT_EPSILON
from libc.math cimport HUGE_VAL, fabs

from ._losses cimport (
    ATTRIBUTES, DISTRIBUTIONS, ONLY_LABELS, PROBABLE_ATTRIBUTES, ROWS, Samples, TargetKind,
)
from ._types cimport real


# Whether each label is an element of a sample, or -1.
cdef inline bint labels_fit(const Samples *samples) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(samples.images * samples.positions):
        if not -1 <= samples.labels[k] < samples.n:
            return False
    return True


# Whether each element is 0, 1 or -1 or, if probable, between 0 and 1.
cdef inline bint are_attributes(Py_ssize_t count, const real *rows, bint probable) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        if rows[k] == -1 or rows[k] == 0 or rows[k] == 1:
            continue
        if not (probable and 0 <= rows[k] <= 1):
            return False
    return True


# Whether no element of a row is negative, and the sum of each is 1 up to rounding.
cdef inline bint are_distributions(
    Py_ssize_t count, Py_ssize_t n, const real *rows
) noexcept nogil:
    cdef double bound = 2 * n * (DBL_EPSILON if real is double else FLT_EPSILON), total
    cdef Py_ssize_t k, j
    for k in range(count):
        total = 0
        for j in range(n):
            if not rows[k * n + j] >= 0:
                return False
            total += rows[k * n + j]
        # not for NaN
        if not fabs(total - 1) <= bound:
            return False
    return True


# Whether targets of all samples are such that the loss takes them.
cdef inline bint rows_fit(
    TargetKind kind, const Samples *samples, const real *rows
) noexcept nogil:
    cdef Py_ssize_t count = samples.images * samples.positions
    if kind == ROWS:
        return True
    if kind == DISTRIBUTIONS:
        return are_distributions(count, samples.n, rows)
    return kind != ONLY_LABELS and are_attributes(
        count * samples.n, rows, kind == PROBABLE_ATTRIBUTES
    )


# Whether the weights and the divisor are valid.
cdef inline bint weights_fit(const Samples *samples) noexcept nogil:
    cdef Py_ssize_t k
    if not 0 < samples.divisor < HUGE_VAL:
        return False
    if samples.weights != NULL:
        for k in range(samples.images):
            if not 0 <= samples.weights[k] < HUGE_VAL:
                return False
    return True


# Whether everything that the outputs are compared with is valid: labels or rows, but not both.
cdef inline bint samples_fit(
    TargetKind kind, const Samples *samples, const real *rows
) noexcept nogil:
    if not weights_fit(samples) or (samples.labels != NULL and rows != NULL):
        return False
    if samples.labels == NULL:
        return rows_fit(kind, samples, rows)
    if samples.n == 1 and (kind == ATTRIBUTES or kind == PROBABLE_ATTRIBUTES):
        return False
    return labels_fit(samples)
