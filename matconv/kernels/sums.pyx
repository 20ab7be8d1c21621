"""Sums of gradients and of squares, regularisation, the step of sgd: one pass over memory, in a
fixed order.

Arguments are not checked here; `matconv.objective` does that.
"""

from libc.float cimport DBL_MAX, DBL_MIN
from libc.string cimport memset

import numpy as np

cimport numpy as cnp

from ._watch cimport Watch, raise_interrupted, watch_current, watch_stopped
from ._types cimport real

cdef extern from *:
    """
    #ifdef _WIN32
    #include <windows.h>
    #define sleep_briefly() Sleep(1)
    #else
    #include <time.h>
    static void sleep_briefly(void) {
        const struct timespec pause = {0, 200000};
        nanosleep(&pause, NULL);
    }
    #endif
    """
    void sleep_briefly() noexcept nogil

cnp.import_array()

cdef enum:
    LANES = 8       # partial sums of a loop, which allow SIMD
    BLOCK = 1024    # elements of a loop; a multiple of LANES


# theta'theta; in the same pass left += theta / C; or left += right + theta / C.
ctypedef enum Task:
    SQUARES
    ALONE
    PAIR


cdef struct Terms:
    Task task
    double C
    double factor   # p
    double scale    # p / C
    bint divide     # by C, because scale is infinite or subnormal


cdef inline real scaled(real theta, const Terms *terms) noexcept nogil:
    if terms.divide:
        return <real> (terms.factor * theta / terms.C)
    return <real> (theta * terms.scale)


# The task for LANES elements from `at`. All are read before any is written, which allows SIMD.
cdef inline void add_lanes(
    Task task, Py_ssize_t at, double scale, const real *theta, const real *right, real *left,
    double *lane,
) noexcept nogil:
    cdef real x[LANES]
    cdef real sum[LANES]
    cdef int j
    for j in range(LANES):
        x[j] = theta[at + j]
        if task == PAIR:
            sum[j] = left[at + j] + right[at + j]
        elif task == ALONE:
            sum[j] = left[at + j]
    for j in range(LANES):
        lane[j] += <double> x[j] * x[j]
    if task != SQUARES:
        for j in range(LANES):
            left[at + j] = sum[j] + <real> (x[j] * scale)


cdef inline void add_all_lanes(
    Task task, Py_ssize_t groups, double scale, const real *theta, const real *right, real *left,
    double *lane,
) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(groups):
        add_lanes(task, k * LANES, scale, theta, right, left, lane)


# The task for at most BLOCK elements; returns sum_k theta_k^2.
cdef double add_block(
    Py_ssize_t n, const Terms *terms, const real *theta, const real *right, real *left
) noexcept nogil:
    cdef double lane[LANES]
    cdef double total = 0
    cdef Py_ssize_t k, groups = 0 if terms.divide else n // LANES
    memset(lane, 0, sizeof(lane))
    if terms.task == SQUARES:
        add_all_lanes(SQUARES, groups, terms.scale, theta, right, left, lane)
    elif terms.task == ALONE:
        add_all_lanes(ALONE, groups, terms.scale, theta, right, left, lane)
    else:
        add_all_lanes(PAIR, groups, terms.scale, theta, right, left, lane)
    for k in range(groups * LANES, n):
        lane[k % LANES] += <double> theta[k] * theta[k]
        if terms.task == PAIR:
            left[k] += right[k]
        if terms.task != SQUARES:
            left[k] += scaled(theta[k], terms)
    for k in range(LANES):
        total += lane[k]
    return total


# The task for n elements, by recursion into halves, so that the rounding error of the sum grows
# with log n.
cdef double add_blocks(
    Py_ssize_t n, const Terms *terms, const real *theta, const real *right, real *left
) noexcept nogil:
    cdef Py_ssize_t half = (n // BLOCK + 1) // 2 * BLOCK
    if n <= BLOCK:
        return add_block(n, terms, theta, right, left)
    return (
        add_blocks(half, terms, theta, right, left)
        + add_blocks(
            n - half, terms, theta + half,
            right + half if terms.task == PAIR else right,
            left + half if terms.task != SQUARES else left,
        )
    )


# left += right + theta p / C, elementwise, and sum_k p_k theta_k^2, for p = factors; by recursion
# into halves as `add_blocks`. left and right may be NULL. Where p is 0, theta is not used.
cdef double add_factored(
    Py_ssize_t n, double C, const double *factors, const real *theta, const real *right, real *left
) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t k, half = (n // BLOCK + 1) // 2 * BLOCK
    if n > BLOCK:
        total = add_factored(half, C, factors, theta, right, left)
        return total + add_factored(
            n - half, C, factors + half, theta + half,
            right + half if right != NULL else NULL, left + half if left != NULL else NULL,
        )
    for k in range(n):
        if right != NULL:
            left[k] += right[k]
        if factors[k] == 0:
            continue
        total += factors[k] * (<double> theta[k] * theta[k])
        if left != NULL:
            left[k] += <real> (factors[k] * theta[k] / C)
    return total


cdef double sum_of_squares(Py_ssize_t n, const real *x) noexcept nogil:
    cdef double lane[LANES]
    cdef double total = 0
    cdef Py_ssize_t k, groups = n // LANES
    cdef int j
    memset(lane, 0, sizeof(lane))
    for k in range(groups):
        for j in range(LANES):
            lane[j] += <double> x[k * LANES + j] * x[k * LANES + j]
    for k in range(groups * LANES, n):
        total += <double> x[k] * x[k]
    for j in range(LANES):
        total += lane[j]
    return total


cdef void square(Py_ssize_t n, const real *x, bint add, real *y) noexcept nogil:
    cdef Py_ssize_t k
    if add:
        for k in range(n):
            y[k] += x[k] * x[k]
    else:
        for k in range(n):
            y[k] = x[k] * x[k]


cdef void add_real(Py_ssize_t n, const real *right, real *left) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        left[k] += right[k]


def add(cnp.ndarray left, cnp.ndarray right):
    """Compute left += right, without the GIL.

    Parameters
    ----------
    left, right : ndarray, shape (n,)
        Contiguous, of one dtype.
    """
    cdef Py_ssize_t n = cnp.PyArray_DIM(left, 0)
    cdef bint is_double = cnp.PyArray_TYPE(left) == cnp.NPY_DOUBLE
    cdef void *left_ = cnp.PyArray_DATA(left)
    cdef const void *right_ = cnp.PyArray_DATA(right)
    with nogil:
        if is_double:
            add_real(n, <const double *> right_, <double *> left_)
        else:
            add_real(n, <const float *> right_, <float *> left_)


def regularise(
    cnp.ndarray theta, double C, cnp.ndarray left=None, cnp.ndarray right=None, factor=1.0
):
    """Compute left += right, left += p theta / C, and p theta'theta, in one pass without the GIL.

    p theta / C is theta times p/C, in double precision, rounded to the dtype; if p/C is infinite or
    subnormal, and for an array of factors, it is p theta divided by C.

    Parameters
    ----------
    theta : ndarray, shape (n,)
    C : float
    left, right : ndarray, shape (n,), optional
        Contiguous, of theta's dtype. By default nothing is added.
    factor : float or ndarray of float64, shape (n,)
        p, not negative; an array, contiguous, has a factor for each element. Elements of theta
        whose factor is 0 are not used.

    Returns
    -------
    squares : float
        p theta'theta, or sum_k p_k theta_k^2, in double precision. Its bits do not depend on
        ``left`` and ``right``.
    """
    cdef Py_ssize_t n = cnp.PyArray_DIM(theta, 0)
    cdef bint is_double = cnp.PyArray_TYPE(theta) == cnp.NPY_DOUBLE
    cdef double squares
    cdef Terms terms
    cdef const double *factors = NULL
    cdef const void *theta_ = cnp.PyArray_DATA(theta)
    cdef void *left_ = NULL
    cdef const void *right_ = NULL
    terms.task = SQUARES
    terms.C = C
    terms.factor = 1
    if isinstance(factor, np.ndarray):
        factors = <const double *> cnp.PyArray_DATA(<cnp.ndarray> factor)
    else:
        terms.factor = factor
    terms.scale = terms.factor / C
    terms.divide = not DBL_MIN <= terms.scale <= DBL_MAX
    if left is not None:
        left_ = cnp.PyArray_DATA(left)
        terms.task = ALONE
        if right is not None:
            right_ = cnp.PyArray_DATA(right)
            terms.task = PAIR
    if terms.factor == 0:
        if right is not None:
            add(left, right)
        return 0.0
    with nogil:
        if factors != NULL:
            if is_double:
                squares = add_factored(
                    n, C, factors, <const double *> theta_, <const double *> right_,
                    <double *> left_,
                )
            else:
                squares = add_factored(
                    n, C, factors, <const float *> theta_, <const float *> right_, <float *> left_
                )
        elif is_double:
            squares = add_blocks(
                n, &terms, <const double *> theta_, <const double *> right_, <double *> left_
            )
        else:
            squares = add_blocks(
                n, &terms, <const float *> theta_, <const float *> right_, <float *> left_
            )
    return squares if factors != NULL else terms.factor * squares


# A step of `descend`.
cdef void descend_real(
    Py_ssize_t n, double rate_, double momentum_, bint nesterov, double share_, const real *theta,
    const real *gradient, real *velocity, real *out, double *mean
) noexcept nogil:
    cdef real rate = <real> -rate_, momentum = <real> momentum_, share = <real> share_, step, v
    cdef Py_ssize_t k
    if mean != NULL:
        for k in range(n):
            mean[k] += gradient[k] * share
    if velocity == NULL:
        for k in range(n):
            out[k] = theta[k] + rate * gradient[k]
        return
    for k in range(n):
        step = rate * gradient[k]
        v = momentum * velocity[k] + step
        velocity[k] = v
        out[k] = theta[k] + (step + momentum * v if nesterov else v)


def descend(
    cnp.ndarray theta, cnp.ndarray gradient, cnp.ndarray out, double rate, double momentum=0,
    cnp.ndarray velocity=None, bint nesterov=False, cnp.ndarray mean=None, double share=1
):
    """Make a step of gradient descent with momentum, in one pass without the GIL.

        velocity <- momentum velocity - rate gradient
        out      <- theta + velocity        (nesterov: theta + momentum velocity - rate gradient)
        mean     <- mean + share gradient

    Parameters
    ----------
    theta, gradient, out, velocity : ndarray, shape (n,)
        Contiguous, of one dtype. ``out`` may be theta. Without a velocity, momentum is 0.
    rate, momentum, share : float
    nesterov : bool
    mean : ndarray of float64, shape (n,), optional
    """
    cdef Py_ssize_t n = cnp.PyArray_DIM(theta, 0), first = 0, size, item
    cdef bint is_double = cnp.PyArray_TYPE(theta) == cnp.NPY_DOUBLE
    cdef char *theta_ = <char *> cnp.PyArray_DATA(theta)
    cdef char *gradient_ = <char *> cnp.PyArray_DATA(gradient)
    cdef char *out_ = <char *> cnp.PyArray_DATA(out)
    cdef char *velocity_ = NULL if velocity is None else <char *> cnp.PyArray_DATA(velocity)
    cdef double *mean_ = NULL if mean is None else <double *> cnp.PyArray_DATA(mean)
    item = sizeof(double) if is_double else sizeof(float)
    with nogil:
        while first < n:
            size = min(n - first, <Py_ssize_t> BLOCK)
            if is_double:
                descend_real(
                    size, rate, momentum, nesterov, share, <const double *> theta_,
                    <const double *> gradient_, <double *> velocity_, <double *> out_, mean_,
                )
            else:
                descend_real(
                    size, rate, momentum, nesterov, share, <const float *> theta_,
                    <const float *> gradient_, <float *> velocity_, <float *> out_, mean_,
                )
            first += size
            theta_ += size * item
            gradient_ += size * item
            out_ += size * item
            if velocity_ != NULL:
                velocity_ += size * item
            if mean_ != NULL:
                mean_ += size


def pause():
    """Sleep for 0.2 ms, without the GIL.

    Raises
    ------
    BaseException
        The exception that has stopped the enclosing call.
    """
    cdef bint is_caller, stopped
    cdef Watch *watch = watch_current(&is_caller)
    with nogil:
        sleep_briefly()
        stopped = watch_stopped(watch, is_caller)
    if stopped:
        raise_interrupted()
