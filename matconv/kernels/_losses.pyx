"""Compiled losses: xi summed over samples, its gradient, and its Hessian B.

The table at the end lists them. A loss is a sum of a function of each element of z, or has
functions of its own for a sample.
"""

from libc.math cimport exp, fabs, log, log1p, sqrt
from libc.string cimport memset

import numpy as np

cimport numpy as cnp

from ._types cimport real

cnp.import_array()


# e(z; y) of one element. OUT: its first and second derivatives for z. A NaN in z gives NaN.
ctypedef double (*Element)(
    double z, double y, double parameter, double *first, double *second
) noexcept nogil

# xi of a sample with n elements: a label, or a row of targets. OUT: dz, the gradient divided by
# `divisor`, unless NULL.
ctypedef double (*ValueF64)(
    Py_ssize_t n, const double *z, Py_ssize_t label, const double *row, double divisor, double *dz
) noexcept nogil
ctypedef double (*ValueF32)(
    Py_ssize_t n, const float *z, Py_ssize_t label, const float *row, double divisor, float *dz
) noexcept nogil

# OUT: product (n,) = scale B tz.
ctypedef void (*ProductF64)(
    Py_ssize_t n, const double *z, double scale, const double *tz, double *product
) noexcept nogil
ctypedef void (*ProductF32)(
    Py_ssize_t n, const float *z, double scale, const float *tz, float *product
) noexcept nogil

# OUT: S (n, n), which contains zeros before, with S S' = scale B.
ctypedef void (*FactorF64)(
    Py_ssize_t n, const double *z, double scale, double *S
) noexcept nogil
ctypedef void (*FactorF32)(
    Py_ssize_t n, const float *z, double scale, float *S
) noexcept nogil


cdef struct Loss:
    const char *name
    Element element             # xi = sum_j e(z_j; y_j); NULL if the loss has the functions below
    ValueF64 value_f64
    ValueF32 value_f32
    ProductF64 product_f64      # NULL: B = 0
    ProductF32 product_f32
    FactorF64 factor_f64
    FactorF32 factor_f32


cdef inline double target(Py_ssize_t label, const real *row, Py_ssize_t j) noexcept nogil:
    if row == NULL:
        return 1 if label == j else 0
    return row[j]


# Losses of one element ----------------------------------------------------------------------------
# In the first three y is 0 or 1 (for `logistic` also between), or negative: not labelled.

# softplus(u) = max(u, 0) + log(1 + exp(-|u|)); e = (1 - y) softplus(z) + y softplus(-z)
cdef double logistic(
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
cdef double hinge(
    double z, double y, double parameter, double *first, double *second
) noexcept nogil:
    cdef double c = 2 * y - 1, margin = 1 - c * z
    first[0] = second[0] = 0
    if y < 0 or margin <= 0:
        return 0
    first[0] = -c if margin > 0 else margin
    return margin


# e = max(0, 1 - c z)^2, c = 2 y - 1
cdef double squared_hinge(
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
cdef double absolute(
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
cdef double huber(
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


# Losses of a sample -------------------------------------------------------------------------------

# xi = ||z - y||^2, B = 2 I
cdef double squared_value(
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


cdef void squared_product(
    Py_ssize_t n, const real *z, double scale, const real *tz, real *product
) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        product[j] = <real> (2 * scale * tz[j])


cdef void squared_factor(Py_ssize_t n, const real *z, double scale, real *S) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        S[j * n + j] = <real> sqrt(2 * scale)


cdef inline double maximum(Py_ssize_t n, const real *z) noexcept nogil:
    cdef double largest = z[0]
    cdef Py_ssize_t j
    for j in range(1, n):
        # a NaN remains the maximum
        largest = z[j] if not z[j] <= largest and largest == largest else largest
    return largest


# xi = log sum_j exp(z_j - m) - sum_j y_j (z_j - m) with m = max z, so that exp does not overflow
cdef double softmax_value(
    Py_ssize_t n, const real *z, Py_ssize_t label, const real *row, double divisor, real *dz
) noexcept nogil:
    cdef double largest = maximum(n, z), total = 0, score = 0, y
    cdef Py_ssize_t j
    for j in range(n):
        total += exp(z[j] - largest)
        y = target(label, row, j)
        if y != 0:
            score += y * (z[j] - largest)
    if dz != NULL:
        for j in range(n):
            y = target(label, row, j)
            dz[j] = <real> ((exp(z[j] - largest) / total - y) / divisor)
    return log(total) - score


# B tz = p * (tz - p'tz) with p = softmax(z)
cdef void softmax_product(
    Py_ssize_t n, const real *z, double scale, const real *tz, real *product
) noexcept nogil:
    cdef double largest = maximum(n, z), total = 0, mean = 0, p
    cdef Py_ssize_t j
    for j in range(n):
        p = exp(z[j] - largest)
        total += p
        mean += p * tz[j]
    mean /= total
    for j in range(n):
        p = exp(z[j] - largest) / total
        product[j] = <real> (scale * p * (tz[j] - mean))


# S = diag(sqrt p) - p sqrt(p)'; S S' = diag(p) - p p', because the sum of p is 1
cdef void softmax_factor(Py_ssize_t n, const real *z, double scale, real *S) noexcept nogil:
    cdef double largest = maximum(n, z), total = 0, p
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
cdef double multiclass_hinge_value(
    Py_ssize_t n, const real *z, Py_ssize_t label, const real *row, double divisor, real *dz
) noexcept nogil:
    cdef double first, second, xi = hinge(z[label], 1, 0, &first, &second)
    if dz != NULL:
        memset(dz, 0, n * sizeof(real))
        dz[label] = <real> (first / divisor)
    return xi


# xi = max(0, 1 - (z_y - z_q)), q = argmax_{q != y} z_q, the first of equals; B = 0
cdef double structured_hinge_value(
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


# Sums over elements -------------------------------------------------------------------------------

cdef double element_value(
    const Loss *loss, const Samples *samples, const real *z, Py_ssize_t label, const real *row,
    real *dz,
) noexcept nogil:
    cdef double total = 0, first, second
    cdef Py_ssize_t j
    for j in range(samples.n):
        total += loss.element(
            z[j], target(label, row, j), samples.parameter, &first, &second
        )
        if dz != NULL:
            dz[j] = <real> (first / samples.divisor)
    return total


# B = diag(e''(z_j; y_j))
cdef void element_product(
    const Loss *loss, const Samples *samples, const real *z, Py_ssize_t label, const real *row,
    double scale, const real *tz, real *product,
) noexcept nogil:
    cdef double first, second
    cdef Py_ssize_t j
    for j in range(samples.n):
        loss.element(z[j], target(label, row, j), samples.parameter, &first, &second)
        product[j] = <real> (scale * second * tz[j])


cdef void element_factor(
    const Loss *loss, const Samples *samples, const real *z, Py_ssize_t label, const real *row,
    double scale, real *S,
) noexcept nogil:
    cdef double first, second
    cdef Py_ssize_t j
    for j in range(samples.n):
        loss.element(z[j], target(label, row, j), samples.parameter, &first, &second)
        S[j * samples.n + j] = <real> sqrt(scale * second)


# Sums over samples --------------------------------------------------------------------------------

cdef inline double weight_of(const Samples *samples, Py_ssize_t k) noexcept nogil:
    # 0 for a sample that is not evaluated
    if samples.labels != NULL and samples.labels[k] < 0:
        return 0
    return 1 if samples.weights == NULL else samples.weights[k // samples.positions]


cdef double loss_value(int code, const Samples *samples, const real *z, real *dz) noexcept nogil:
    cdef const Loss *loss = &losses[code - 1]
    cdef Py_ssize_t n = samples.n, k, j, label = 0
    cdef double total = 0, weight, xi
    cdef const real *row = NULL
    cdef real *dz_k = NULL
    for k in range(samples.images * samples.positions):
        weight = weight_of(samples, k)
        if dz != NULL:
            dz_k = dz + k * n
        if weight == 0:
            if dz != NULL:
                memset(dz_k, 0, n * sizeof(real))
            continue
        if samples.labels != NULL:
            label = samples.labels[k]
        else:
            row = <const real *> samples.rows + k * n
        if loss.element != NULL:
            xi = element_value(loss, samples, z + k * n, label, row, dz_k)
        elif real is double:
            xi = loss.value_f64(n, z + k * n, label, row, samples.divisor, dz_k)
        else:
            xi = loss.value_f32(n, z + k * n, label, row, samples.divisor, dz_k)
        if samples.weights != NULL:
            xi *= weight
            if dz != NULL:
                for j in range(n):
                    dz_k[j] = <real> (weight * dz_k[j])
        total += xi
    return total


cdef void loss_product(
    int code, const Samples *samples, const real *z, const real *tz, real *product
) noexcept nogil:
    cdef const Loss *loss = &losses[code - 1]
    cdef Py_ssize_t n = samples.n, k, label = 0
    cdef double weight, scale
    cdef const real *row = NULL
    memset(product, 0, samples.images * samples.positions * n * sizeof(real))
    for k in range(samples.images * samples.positions):
        weight = weight_of(samples, k)
        if weight == 0:
            continue
        scale = weight / samples.divisor
        if samples.labels != NULL:
            label = samples.labels[k]
        else:
            row = <const real *> samples.rows + k * n
        if loss.element != NULL:
            element_product(
                loss, samples, z + k * n, label, row, scale, tz + k * n, product + k * n
            )
        elif real is double:
            if loss.product_f64 != NULL:
                loss.product_f64(n, z + k * n, scale, tz + k * n, product + k * n)
        else:
            if loss.product_f32 != NULL:
                loss.product_f32(n, z + k * n, scale, tz + k * n, product + k * n)


cdef void loss_factor(int code, const Samples *samples, const real *z, real *S) noexcept nogil:
    cdef const Loss *loss = &losses[code - 1]
    cdef Py_ssize_t n = samples.n, k, label = 0
    cdef double weight, scale
    cdef const real *row = NULL
    memset(S, 0, samples.images * samples.positions * n * n * sizeof(real))
    for k in range(samples.images * samples.positions):
        weight = weight_of(samples, k)
        if weight == 0:
            continue
        scale = weight / samples.divisor
        if samples.labels != NULL:
            label = samples.labels[k]
        else:
            row = <const real *> samples.rows + k * n
        if loss.element != NULL:
            element_factor(loss, samples, z + k * n, label, row, scale, S + k * n * n)
        elif real is double:
            if loss.factor_f64 != NULL:
                loss.factor_f64(n, z + k * n, scale, S + k * n * n)
        else:
            if loss.factor_f32 != NULL:
                loss.factor_f32(n, z + k * n, scale, S + k * n * n)


# The table of losses ------------------------------------------------------------------------------

cdef enum:
    MAX_LOSSES = 32

cdef Loss losses[MAX_LOSSES]
cdef int n_losses = 0


cdef void add_elements(const char *name, Element element) noexcept:
    global n_losses
    memset(&losses[n_losses], 0, sizeof(Loss))
    losses[n_losses].name = name
    losses[n_losses].element = element
    n_losses += 1


cdef void add_samples(
    const char *name, ValueF64 value_f64, ValueF32 value_f32, ProductF64 product_f64,
    ProductF32 product_f32, FactorF64 factor_f64, FactorF32 factor_f32,
) noexcept:
    add_elements(name, NULL)
    losses[n_losses - 1].value_f64 = value_f64
    losses[n_losses - 1].value_f32 = value_f32
    losses[n_losses - 1].product_f64 = product_f64
    losses[n_losses - 1].product_f32 = product_f32
    losses[n_losses - 1].factor_f64 = factor_f64
    losses[n_losses - 1].factor_f32 = factor_f32


add_elements(b"absolute", absolute)
add_elements(b"hinge", hinge)
add_elements(b"huber", huber)
add_elements(b"logistic", logistic)
add_samples(
    b"multiclass_hinge", multiclass_hinge_value[double], multiclass_hinge_value[float],
    NULL, NULL, NULL, NULL,
)
add_samples(
    b"softmax", softmax_value[double], softmax_value[float], softmax_product[double],
    softmax_product[float], softmax_factor[double], softmax_factor[float],
)
add_samples(
    b"squared", squared_value[double], squared_value[float], squared_product[double],
    squared_product[float], squared_factor[double], squared_factor[float],
)
add_elements(b"squared_hinge", squared_hinge)
add_samples(
    b"structured_hinge", structured_hinge_value[double], structured_hinge_value[float],
    NULL, NULL, NULL, NULL,
)

# codes by name
CODES = {losses[k].name.decode(): k + 1 for k in range(n_losses)}


# Second order, from Python ------------------------------------------------------------------------

cdef int fill(
    Samples *samples, cnp.ndarray z, cnp.ndarray y, cnp.ndarray weights, double divisor,
    double parameter,
) except -1:
    cdef bint labels = cnp.PyArray_TYPE(y) == cnp.NPY_INTP
    samples.images = cnp.PyArray_DIM(z, 0)
    samples.positions = 1
    samples.n = cnp.PyArray_DIM(z, 1)
    samples.labels = <const Py_ssize_t *> cnp.PyArray_DATA(y) if labels else NULL
    samples.rows = NULL if labels else cnp.PyArray_DATA(y)
    samples.weights = NULL
    if weights is not None:
        samples.weights = <const double *> cnp.PyArray_DATA(weights)
    samples.divisor = divisor
    samples.parameter = parameter
    return 0


def hessian_product(
    int code, cnp.ndarray z, cnp.ndarray y, cnp.ndarray tz, cnp.ndarray weights=None,
    double divisor=1, double parameter=0,
):
    """Return w_i / divisor times B tz for each row of z.

    Arguments are not checked.

    Parameters
    ----------
    code : int
        A value of `CODES`.
    z, tz : ndarray, shape (samples, n)
        Contiguous, of one dtype.
    y : ndarray
        Labels (intp), shape (samples,), or rows of the dtype of z, shape (samples, n).
    weights : ndarray of float64, shape (samples,), optional
    divisor, parameter : float

    Returns
    -------
    product : ndarray, shape (samples, n)
    """
    cdef Samples samples
    cdef cnp.ndarray product = np.empty_like(z)
    fill(&samples, z, y, weights, divisor, parameter)
    cdef const void *z_ = cnp.PyArray_DATA(z)
    cdef const void *tz_ = cnp.PyArray_DATA(tz)
    cdef void *out = cnp.PyArray_DATA(product)
    if cnp.PyArray_TYPE(z) == cnp.NPY_DOUBLE:
        loss_product(code, &samples, <const double *> z_, <const double *> tz_, <double *> out)
    else:
        loss_product(code, &samples, <const float *> z_, <const float *> tz_, <float *> out)
    return product


def factor(
    int code, cnp.ndarray z, cnp.ndarray y, cnp.ndarray weights=None, double divisor=1,
    double parameter=0,
):
    """Return S with S S' = w_i / divisor times B for each row of z.

    Parameters are those of `hessian_product`.

    Returns
    -------
    S : ndarray, shape (samples, n, n)
    """
    cdef Samples samples
    cdef Py_ssize_t n = cnp.PyArray_DIM(z, 1)
    cdef cnp.ndarray S = np.empty((len(z), n, n), z.dtype)
    fill(&samples, z, y, weights, divisor, parameter)
    cdef const void *z_ = cnp.PyArray_DATA(z)
    cdef void *out = cnp.PyArray_DATA(S)
    if cnp.PyArray_TYPE(z) == cnp.NPY_DOUBLE:
        loss_factor(code, &samples, <const double *> z_, <double *> out)
    else:
        loss_factor(code, &samples, <const float *> z_, <float *> out)
    return S
