"""Losses of a sample that are no sums over its elements, and `squared`.

For each: xi and its gradient dz, divided by `divisor`, unless dz is NULL; the product B tz and a
factor S of B, both times `scale`. The elements of S are 0 before.
"""

from libc.math cimport exp, log1p, sqrt
from libc.string cimport memset

from ._loss_elements cimport hinge
from ._types cimport real


# The target of element j: of a row of targets or, if that is NULL, 1 for the label and else 0.
cdef inline double target(Py_ssize_t label, const real *row, Py_ssize_t j) noexcept nogil:
    if row == NULL:
        return 1 if label == j else 0
    return row[j]


# xi = ||z - y||^2, B = 2 I
cdef inline double squared_value(
    Py_ssize_t n, const real *z, Py_ssize_t label, const real *row, double divisor, real *dz
) noexcept nogil:
    cdef double total = 0
    cdef real residual
    cdef Py_ssize_t j
    for j in range(n):
        residual = z[j] - <real> target(label, row, j)
        total += <double> residual * residual
        if dz != NULL:
            dz[j] = 2 * residual / <real> divisor
    return total


cdef inline void squared_product(
    Py_ssize_t n, const real *z, double scale, const real *tz, real *product
) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        product[j] = <real> (2 * scale * tz[j])


cdef inline void squared_factor(Py_ssize_t n, const real *z, double scale, real *S) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        S[j * n + j] = <real> sqrt(2 * scale)


# The index of the maximum, of the first NaN if there is one.
cdef inline Py_ssize_t argmax(Py_ssize_t n, const real *z) noexcept nogil:
    cdef Py_ssize_t j, top = 0
    for j in range(1, n):
        if not z[j] <= z[top] and z[top] == z[top]:
            top = j
    return top


# xi = log sum_j exp(z_j - m) - sum_j y_j (z_j - m) with m = max z, so that exp does not overflow.
# The term of the maximum, which is 1, is left out of sums, where it would hide small ones.
cdef inline double softmax_value(
    Py_ssize_t n, const real *z, Py_ssize_t label, const real *row, double divisor, real *dz
) noexcept nogil:
    cdef Py_ssize_t j, top = argmax(n, z)
    cdef double largest = z[top], others = 0, score = 0, y
    for j in range(n):
        if j != top:
            others += exp(z[j] - largest)
        y = target(label, row, j)
        if y != 0:
            score += y * (z[j] - largest)
    if dz != NULL:
        for j in range(n):
            y = target(label, row, j)
            dz[j] = <real> ((exp(z[j] - largest) / (1 + others) - y) / divisor)
        y = target(label, row, top)
        dz[top] = <real> (((1 - y) - y * others) / (1 + others) / divisor)
    return log1p(others) - score


# B tz = p * (tz - p'tz) with p = softmax(z); tz and its mean are counted from tz at the maximum
cdef inline void softmax_product(
    Py_ssize_t n, const real *z, double scale, const real *tz, real *product
) noexcept nogil:
    cdef Py_ssize_t j, top = argmax(n, z)
    cdef double largest = z[top], origin = tz[top], total = 0, mean = 0, p
    for j in range(n):
        p = exp(z[j] - largest)
        total += p
        mean += p * (tz[j] - origin)
    mean /= total
    for j in range(n):
        p = exp(z[j] - largest) / total
        product[j] = <real> (scale * p * ((tz[j] - origin) - mean))


# S = diag(sqrt p) - p sqrt(p)'; S S' = diag(p) - p p', because the sum of p is 1
cdef inline void softmax_factor(Py_ssize_t n, const real *z, double scale, real *S) noexcept nogil:
    cdef double largest = z[argmax(n, z)], total = 0, p
    cdef Py_ssize_t j, k
    for j in range(n):
        total += exp(z[j] - largest)
    for j in range(n):
        p = exp(z[j] - largest) / total
        for k in range(n):
            S[j * n + k] = <real> (
                sqrt(scale) * ((sqrt(p) if j == k else 0) - p * sqrt(exp(z[k] - largest) / total))
            )


# xi = max(0, 1 - z_y), B = 0
cdef inline double multiclass_hinge_value(
    Py_ssize_t n, const real *z, Py_ssize_t label, const real *row, double divisor, real *dz
) noexcept nogil:
    cdef double first, second, xi = hinge(z[label], 1, 0, &first, &second)
    if dz != NULL:
        memset(dz, 0, n * sizeof(real))
        dz[label] = <real> (first / divisor)
    return xi


# xi = max(0, 1 - (z_y - z_q)), q = argmax_{q != y} z_q, the first of equals; B = 0
cdef inline double structured_hinge_value(
    Py_ssize_t n, const real *z, Py_ssize_t label, const real *row, double divisor, real *dz
) noexcept nogil:
    cdef double first, second, xi
    cdef Py_ssize_t j, q = 1 if label == 0 else 0
    for j in range(q + 1, n):
        if j != label and not z[j] <= z[q] and z[q] == z[q]:
            q = j
    xi = hinge(<double> z[label] - <double> z[q], 1, 0, &first, &second)
    if dz != NULL:
        memset(dz, 0, n * sizeof(real))
        dz[label] = <real> (first / divisor)
        dz[q] = -dz[label]
    return xi
