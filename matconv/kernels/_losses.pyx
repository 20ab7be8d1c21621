"""Compiled losses: xi summed over samples, its gradient, and its Hessian B.

The table at the end lists them. A loss is a sum of a function of each element of z, or has
functions of its own for a sample.
"""

from libc.math cimport sqrt
from libc.string cimport memset, strcmp

import numpy as np

cimport numpy as cnp

from ._loss_elements cimport (
    absolute, hinge, huber, logistic, squared_hinge,
)
from ._loss_samples cimport (
    multiclass_hinge_value, softmax_factor, softmax_product, softmax_value, squared_factor,
    squared_product, squared_value, structured_hinge_value, target,
)
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
    Traits traits
    Element element             # xi = sum_j e(z_j; y_j); NULL if the loss has the functions below
    ValueF64 value_f64
    ValueF32 value_f32
    ProductF64 product_f64      # NULL: B = 0
    ProductF32 product_f32
    FactorF64 factor_f64
    FactorF32 factor_f32


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


cdef void add_elements(
    const char *name, Element element, TargetKind targets, bint curved, bint has_parameter=False
) noexcept:
    global n_losses
    cdef Loss *loss = &losses[n_losses]
    memset(loss, 0, sizeof(Loss))
    loss.name = name
    loss.element = element
    loss.traits.targets, loss.traits.curved = targets, curved
    loss.traits.has_parameter = has_parameter
    n_losses += 1


cdef void add_samples(
    const char *name, TargetKind targets, ValueF64 value_f64, ValueF32 value_f32,
    ProductF64 product_f64, ProductF32 product_f32, FactorF64 factor_f64, FactorF32 factor_f32,
) noexcept:
    add_elements(name, NULL, targets, product_f64 != NULL)
    losses[n_losses - 1].value_f64 = value_f64
    losses[n_losses - 1].value_f32 = value_f32
    losses[n_losses - 1].product_f64 = product_f64
    losses[n_losses - 1].product_f32 = product_f32
    losses[n_losses - 1].factor_f64 = factor_f64
    losses[n_losses - 1].factor_f32 = factor_f32


add_elements(b"absolute", absolute, ROWS, False)
add_elements(b"hinge", hinge, ATTRIBUTES, False)
add_elements(b"huber", huber, ROWS, True, True)
add_elements(b"logistic", logistic, PROBABLE_ATTRIBUTES, True)
add_samples(
    b"multiclass_hinge", ONLY_LABELS, multiclass_hinge_value[double],
    multiclass_hinge_value[float], NULL, NULL, NULL, NULL,
)
add_samples(
    b"softmax", DISTRIBUTIONS, softmax_value[double], softmax_value[float],
    softmax_product[double], softmax_product[float], softmax_factor[double],
    softmax_factor[float],
)
add_samples(
    b"squared", ROWS, squared_value[double], squared_value[float], squared_product[double],
    squared_product[float], squared_factor[double], squared_factor[float],
)
add_elements(b"squared_hinge", squared_hinge, ATTRIBUTES, True)
add_samples(
    b"structured_hinge", ONLY_LABELS, structured_hinge_value[double],
    structured_hinge_value[float], NULL, NULL, NULL, NULL,
)


cdef int loss_code(const char *name) noexcept nogil:
    cdef int k
    for k in range(n_losses):
        if strcmp(losses[k].name, name) == 0:
            return k + 1
    return NO_LOSS


cdef Traits loss_traits(int code) noexcept nogil:
    return losses[code - 1].traits


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
