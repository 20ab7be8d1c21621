"""Losses of one element e(z; y), with their first and second derivatives for z.

A NaN in z gives NaN. In the first three y is 0 or 1 (for `logistic` also between), or negative: not
labelled.
"""

from libc.math cimport exp, fabs, log, log1p


# softplus(u) = max(u, 0) + log(1 + exp(-|u|)); e = (1 - y) softplus(z) + y softplus(-z)
cdef inline double logistic(
    double z, double y, double parameter, double *first, double *second
) noexcept nogil:
    cdef double t = exp(-fabs(z)), value = log1p(t)
    # sigmoid(z) and sigmoid(-z)
    cdef double p = (1 if z > 0 else t) / (1 + t), q = (t if z > 0 else 1) / (1 + t)
    if y < 0:
        first[0] = second[0] = 0
        return 0
    first[0] = (1 - y) * p - y * q
    second[0] = p * q
    # not 0 times infinity
    if y != 1 and z > 0:
        value += (1 - y) * z
    if y != 0 and z < 0:
        value -= y * z
    return value


# e = max(0, 1 - c z), c = 2 y - 1
cdef inline double hinge(
    double z, double y, double parameter, double *first, double *second
) noexcept nogil:
    cdef double c = 2 * y - 1, margin = 1 - c * z
    first[0] = second[0] = 0
    if y < 0 or margin <= 0:
        return 0
    first[0] = -c if margin > 0 else margin
    return margin


# e = max(0, 1 - c z)^2, c = 2 y - 1
cdef inline double squared_hinge(
    double z, double y, double parameter, double *first, double *second
) noexcept nogil:
    cdef double c = 2 * y - 1, margin = 1 - c * z
    first[0] = second[0] = 0
    if y < 0 or margin <= 0:
        return 0
    first[0] = -2 * c * margin
    second[0] = 2
    return margin * margin


# e = |z - y|
cdef inline double absolute(
    double z, double y, double parameter, double *first, double *second
) noexcept nogil:
    cdef double residual = z - y
    first[0] = residual
    second[0] = 0
    if residual > 0:
        first[0] = 1
    elif residual < 0:
        first[0] = -1
    return fabs(residual)


# e = r^2 / 2 for |r| <= delta, otherwise delta (|r| - delta / 2), r = z - y
cdef inline double huber(
    double z, double y, double delta, double *first, double *second
) noexcept nogil:
    cdef double residual = z - y
    if fabs(residual) > delta:
        first[0] = delta if residual > 0 else -delta
        second[0] = 0
        return delta * (fabs(residual) - delta / 2)
    first[0] = residual
    second[0] = 1
    return residual * residual / 2
