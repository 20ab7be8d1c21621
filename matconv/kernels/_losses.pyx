"""Compiled losses: xi summed over images, and its gradient for the outputs."""

from libc.math cimport exp, log

from ._types cimport real


cdef inline double target(
    const Py_ssize_t *labels, const real *rows, Py_ssize_t i, Py_ssize_t n, Py_ssize_t j
) noexcept nogil:
    if labels != NULL:
        return 1 if labels[i] == j else 0
    return rows[i * n + j]


cdef inline double squared(
    Py_ssize_t i, Py_ssize_t n, const real *z, const Py_ssize_t *labels, const real *rows,
    double divisor, real *dz,
) noexcept nogil:
    cdef double total = 0
    cdef real residual
    cdef Py_ssize_t j
    for j in range(n):
        residual = z[j] - <real> target(labels, rows, i, n, j)
        total += <double> residual * residual
        if dz != NULL:
            dz[j] = 2 * residual / <real> divisor
    return total


# log sum_j exp(z_j - m) - sum_j y_j (z_j - m) with m = max z, so that exp does not overflow
cdef inline double softmax(
    Py_ssize_t i, Py_ssize_t n, const real *z, const Py_ssize_t *labels, const real *rows,
    double divisor, real *dz,
) noexcept nogil:
    cdef double largest = z[0], total = 0, score = 0, y
    cdef Py_ssize_t j
    for j in range(1, n):
        # a NaN remains the maximum
        largest = z[j] if not z[j] <= largest and largest == largest else largest
    for j in range(n):
        total += exp(z[j] - largest)
        y = target(labels, rows, i, n, j)
        if y != 0:
            score += y * (z[j] - largest)
    if dz != NULL:
        for j in range(n):
            y = target(labels, rows, i, n, j)
            dz[j] = <real> ((exp(z[j] - largest) / total - y) / divisor)
    return log(total) - score


cdef double loss_value(
    int code, Py_ssize_t l, Py_ssize_t n, const real *z, const Py_ssize_t *labels,
    const real *rows, double divisor, real *dz,
) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t i
    cdef real *dz_i = NULL
    for i in range(l):
        if dz != NULL:
            dz_i = dz + i * n
        if code == SQUARED:
            total += squared(i, n, z + i * n, labels, rows, divisor, dz_i)
        else:
            total += softmax(i, n, z + i * n, labels, rows, divisor, dz_i)
    return total
