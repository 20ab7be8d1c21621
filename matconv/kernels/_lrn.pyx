"""Local response normalisation: loops, and functions for Python."""

from libc.math cimport INFINITY, pow, powf, sqrt, sqrtf

import numpy as np

cimport numpy as cnp

from ._arrays cimport as_input, as_output, check_shape
from ._geometry cimport mul_overflows
from ._status cimport OK, SIZE
from ._types cimport real

from ._sizes import as_size

cnp.import_array()


cdef int lrn_init(
    Py_ssize_t d, Py_ssize_t size, double k, double alpha, double beta, Lrn *lrn
) noexcept nogil:
    if d < 1 or size < 1 or not (0 <= k < INFINITY and 0 <= alpha < INFINITY):
        return SIZE
    if not -INFINITY < beta < INFINITY:
        return SIZE
    lrn.d = d
    lrn.below = min((size - 1) // 2, d - 1)
    lrn.above = min(size // 2, d - 1)
    lrn.k, lrn.alpha, lrn.beta = k, alpha, beta
    return OK


cdef Py_ssize_t lrn_scratch(Py_ssize_t d) noexcept nogil:
    cdef Py_ssize_t size = 0
    return -1 if mul_overflows(10, d, &size) else size


# sums_c = a_c + ... + a_(c + width - 1) for d elements, in about log2(width) passes of additions,
# so that a NaN or infinity stays in its windows. IN: a (m = d + width - 1), which is overwritten.
# OUT: sums. SCRATCH: b (m).
cdef void window_sums(
    Py_ssize_t d, Py_ssize_t width, real *a, real *b, real *sums
) noexcept nogil:
    cdef Py_ssize_t m = d + width - 1, run = 1, at = 0, c
    cdef real *other
    while True:
        # a_c is the sum of `run` elements from c on
        if width & run and at == 0:
            for c in range(d):
                sums[c] = a[c]
        elif width & run:
            for c in range(d):
                sums[c] += a[at + c]
        at += width & run
        run *= 2
        if run > width:
            return
        m -= run // 2
        for c in range(m):
            b[c] = a[c] + a[c + run // 2]
        other = a
        a = b
        b = other


# p(d) = t^-beta.
cdef void powers(Py_ssize_t d, double beta, const real *t, real *p) noexcept nogil:
    cdef Py_ssize_t c
    cdef real root, exponent = <real> -beta
    if beta == 0.75:
        for c in range(d):
            root = sqrt(t[c]) if real is double else sqrtf(t[c])
            p[c] = <real> 1 / (root * (sqrt(root) if real is double else sqrtf(root)))
    elif beta == 0.5:
        for c in range(d):
            p[c] = <real> 1 / (sqrt(t[c]) if real is double else sqrtf(t[c]))
    elif beta == 1:
        for c in range(d):
            p[c] = <real> 1 / t[c]
    else:
        for c in range(d):
            p[c] = pow(t[c], exponent) if real is double else powf(t[c], exponent)


# t_c = k + alpha sum_{j in Q(c)} x_j^2. IN: x(d). OUT: t(d). SCRATCH: a, b, 3 d elements each.
cdef void denominators(
    const Lrn *lrn, const real *x, real *a, real *b, real *t
) noexcept nogil:
    cdef Py_ssize_t c
    cdef real k = <real> lrn.k, alpha = <real> lrn.alpha
    for c in range(lrn.below):
        a[c] = 0
    for c in range(lrn.d):
        a[lrn.below + c] = x[c] * x[c]
    for c in range(lrn.above):
        a[lrn.below + lrn.d + c] = 0
    window_sums(lrn.d, lrn.below + lrn.above + 1, a, b, t)
    for c in range(lrn.d):
        t[c] = k + alpha * t[c]


cdef void lrn_rows(
    const Lrn *lrn, Py_ssize_t n, const real *Z, real *Z_out, real *scratch
) noexcept nogil:
    cdef Py_ssize_t d = lrn.d, i, c
    cdef real *t = scratch + 6 * d
    cdef real *p = scratch + 7 * d
    for i in range(n):
        denominators(lrn, Z + i * d, scratch, scratch + 3 * d, t)
        powers(d, lrn.beta, t, p)
        for c in range(d):
            Z_out[i * d + c] = Z[i * d + c] * p[c]


# With p = t^-beta:  dx_j = p_j dy_j - 2 alpha beta x_j sum_{c: j in Q(c)} dy_c x_c p_c / t_c.
cdef inline void backward_row(
    const Lrn *lrn, const real *dy, const real *x, bint add, real *dx, real *scratch
) noexcept nogil:
    cdef Py_ssize_t d = lrn.d, c
    cdef real factor = <real> (2 * lrn.alpha * lrn.beta)
    cdef real *a = scratch
    cdef real *t = scratch + 6 * d
    cdef real *p = scratch + 7 * d
    denominators(lrn, x, a, scratch + 3 * d, t)
    powers(d, lrn.beta, t, p)
    # j is in Q(c) for c from j - above to j + below
    for c in range(lrn.above):
        a[c] = 0
    for c in range(d):
        p[c] = dy[c] * p[c]
        a[lrn.above + c] = x[c] * p[c] / t[c]
    for c in range(lrn.below):
        a[lrn.above + d + c] = 0
    window_sums(d, lrn.below + lrn.above + 1, a, scratch + 3 * d, t)
    if add:
        for c in range(d):
            dx[c] += p[c] - factor * x[c] * t[c]
    else:
        for c in range(d):
            dx[c] = p[c] - factor * x[c] * t[c]


cdef void lrn_backward_rows(
    const Lrn *lrn, Py_ssize_t n, const real *dZ_out, const real *Z, bint add, real *dZ,
    real *scratch,
) noexcept nogil:
    cdef Py_ssize_t d = lrn.d, i
    for i in range(n):
        backward_row(lrn, dZ_out + i * d, Z + i * d, add, dZ + i * d, scratch)


# With p = t^-beta:  ty_c = p_c tx_c - 2 alpha beta x_c p_c / t_c sum_{j in Q(c)} x_j tx_j.
cdef inline void tangent_row(
    const Lrn *lrn, const real *tx, const real *x, real *ty, real *scratch
) noexcept nogil:
    cdef Py_ssize_t d = lrn.d, c
    cdef real factor = <real> (2 * lrn.alpha * lrn.beta)
    cdef real *a = scratch
    cdef real *t = scratch + 6 * d
    cdef real *p = scratch + 7 * d
    denominators(lrn, x, a, scratch + 3 * d, t)
    powers(d, lrn.beta, t, p)
    for c in range(lrn.below):
        a[c] = 0
    for c in range(d):
        a[lrn.below + c] = x[c] * tx[c]
    for c in range(lrn.above):
        a[lrn.below + d + c] = 0
    window_sums(d, lrn.below + lrn.above + 1, a, scratch + 3 * d, ty)
    for c in range(d):
        ty[c] = p[c] * (tx[c] - factor * x[c] / t[c] * ty[c])


cdef void lrn_tangent_rows(
    const Lrn *lrn, Py_ssize_t n, const real *tZ, const real *Z, real *tZ_out, real *scratch
) noexcept nogil:
    cdef Py_ssize_t d = lrn.d, i
    for i in range(n):
        tangent_row(lrn, tZ + i * d, Z + i * d, tZ_out + i * d, scratch)


# a(d + below + above) = zeros, x . y, zeros. IN: x(d), y(d).
cdef inline void padded_product(
    Py_ssize_t d, Py_ssize_t below, Py_ssize_t above, const real *x, const real *y, real *a
) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(below):
        a[c] = 0
    for c in range(d):
        a[below + c] = x[c] * y[c]
    for c in range(above):
        a[below + d + c] = 0


# With p = t^-beta, w_c = sum_{j in Q(c)} x_j tx_j, g = dy p / t and h = tx - 2 alpha (beta + 1) x w
# / t:
#     dx_j -= 2 alpha beta (g_j w_j + tx_j sum_{c: j in Q(c)} g_c x_c + x_j sum_{c: j in Q(c)} g_c
#     h_c).
cdef inline void curved_row(
    const Lrn *lrn, const real *dy, const real *x, const real *tx, real *dx, real *scratch
) noexcept nogil:
    cdef Py_ssize_t d = lrn.d, width = lrn.below + lrn.above + 1, c
    cdef real factor = <real> (2 * lrn.alpha * lrn.beta)
    cdef real h_factor = <real> (2 * lrn.alpha * (lrn.beta + 1))
    cdef real *a = scratch
    cdef real *b = scratch + 3 * d
    cdef real *t = scratch + 6 * d
    cdef real *g = scratch + 7 * d
    cdef real *w = scratch + 8 * d
    cdef real *sums = scratch + 9 * d
    denominators(lrn, x, a, b, t)
    powers(d, lrn.beta, t, g)
    padded_product(d, lrn.below, lrn.above, x, tx, a)
    window_sums(d, width, a, b, w)
    for c in range(d):
        g[c] = dy[c] * g[c] / t[c]
    padded_product(d, lrn.above, lrn.below, <const real *> g, x, a)
    window_sums(d, width, a, b, sums)
    for c in range(d):
        dx[c] -= factor * (g[c] * w[c] + tx[c] * sums[c])
        w[c] = tx[c] - h_factor * x[c] * w[c] / t[c]
    padded_product(d, lrn.above, lrn.below, <const real *> g, <const real *> w, a)
    window_sums(d, width, a, b, sums)
    for c in range(d):
        dx[c] -= factor * x[c] * sums[c]


cdef void lrn_curved_rows(
    const Lrn *lrn, Py_ssize_t n, const real *dZ_out, const real *Z, const real *tZ, real *dZ,
    real *scratch,
) noexcept nogil:
    cdef Py_ssize_t d = lrn.d, i
    for i in range(n):
        curved_row(lrn, dZ_out + i * d, Z + i * d, tZ + i * d, dZ + i * d, scratch)


cdef double as_finite(str function, str name, value, bint negative) except? -1:
    if isinstance(value, (bool, str, bytes, np.ma.MaskedArray)) or np.ndim(value):
        raise TypeError(f"{function}: {name} must be a number, got {value!r}")
    cdef double number
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} must be a number, got {value!r}") from None
    if not -INFINITY < number < INFINITY or (number < 0 and not negative):
        wanted = "finite" if negative else "finite and not negative"
        raise ValueError(f"{function}: {name} must be {wanted}, got {number:g}")
    return number


def lrn_arguments(str function, size, k, alpha, beta):
    """Return the arguments of `lrn`, checked.

    Raises
    ------
    TypeError, ValueError, OverflowError
    """
    size = as_size(function, "size", size)
    if size < 1:
        raise ValueError(f"{function}: size must be at least 1, got {size}")
    return (
        size, as_finite(function, "k", k, False),
        as_finite(function, "alpha", alpha, False), as_finite(function, "beta", beta, True),
    )


# Check arguments of a function. OUT: own. Returns the images.
cdef cnp.ndarray checked(str function, str name, given, tuple numbers, Lrn *own):
    cdef cnp.ndarray images = as_input(function, name, given, -1)
    cdef int ndim = cnp.PyArray_NDIM(images)
    if ndim == 0 or cnp.PyArray_DIM(images, ndim - 1) == 0:
        shape = (<object> images).shape
        raise ValueError(f"{function}: {name} must have at least 1 channel, got the shape {shape}")
    size, k, alpha, beta = lrn_arguments(function, *numbers)
    # larger windows contain all channels too
    size = min(size, 2 * cnp.PyArray_DIM(images, ndim - 1))
    lrn_init(cnp.PyArray_DIM(images, ndim - 1), size, k, alpha, beta, own)
    return images


def lrn(Z, size=5, k=2.0, alpha=1e-4, beta=0.75, out=None):
    """Normalise each element by the squares of the channels around it.

    Local response normalisation: ``Z_out_c = Z_c (k + alpha sum_j Z_j^2)^-beta`` for channel c of a
    pixel, with the sum over the channels j from ``c - floor((size - 1) / 2)`` to
    ``c + ceil((size - 1) / 2)``, as far as they exist.

    Parameters
    ----------
    Z : array, shape (..., d)
        Channels last; float64 or float32.
    size : int
        Number of channels of a window. If it is even, there is one more channel above c than
        below, as in MatConvNet and ONNX; in PyTorch it is one more below.
    k, alpha : float
        Not negative. alpha is not divided by the size, as in the paper and in MatConvNet. Caffe,
        ONNX and PyTorch divide it: their alpha is ``size`` times this one.
    beta : float
    out : array, shape of Z, optional
        C-contiguous, of Z's dtype; must not overlap Z.

    Returns
    -------
    Z_out : ndarray, shape of Z
        A NaN makes the elements NaN whose windows contain it. An infinite element becomes NaN, and
        others whose windows contain it 0. With k = 0 an element whose window contains only zeros
        becomes NaN. Squares of elements above 1e154 (float32: 1e19) are infinite.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep convolutional
    neural networks" (2012), section 3.3.

    Examples
    --------
    >>> import numpy as np, matconv
    >>> matconv.lrn(np.array([[3.0, 4.0, 0.0]]), size=2, k=0, alpha=1, beta=0.5)
    array([[0.6, 1. , nan]])
    """
    cdef Lrn own
    cdef cnp.ndarray images = checked("lrn", "Z", Z, (size, k, alpha, beta), &own)
    cdef cnp.ndarray result = as_output(
        "lrn", "out", out, (<object> images).shape, images, (("Z", Z),)
    )
    cdef cnp.ndarray scratch = np.empty(lrn_scratch(own.d), images.dtype)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(images) // own.d
    cdef bint is_double = cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE
    cdef void *Z_ = cnp.PyArray_DATA(images)
    cdef void *out_ = cnp.PyArray_DATA(result)
    cdef void *scratch_ = cnp.PyArray_DATA(scratch)
    with nogil:
        if is_double:
            lrn_rows(&own, n, <const double *> Z_, <double *> out_, <double *> scratch_)
        else:
            lrn_rows(&own, n, <const float *> Z_, <float *> out_, <float *> scratch_)
    return result


def lrn_backward(dZ_out, Z, size=5, k=2.0, alpha=1e-4, beta=0.75, out=None):
    """Compute the gradient for the input of `lrn` from the gradient for its output.

    Parameters
    ----------
    dZ_out : array, shape of Z
    Z : array, shape (..., d)
        As for `lrn`; float64 or float32.
    size, k, alpha, beta
        As for `lrn`.
    out : array, shape of Z, optional
        C-contiguous, of Z's dtype; must not overlap the other arrays.

    Returns
    -------
    dZ : ndarray, shape of Z

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> matconv.lrn_backward(np.ones((1, 2)), np.zeros((1, 2)), k=4, beta=0.5)
    array([[0.5, 0.5]])
    """
    cdef Lrn own
    cdef cnp.ndarray images = checked("lrn_backward", "Z", Z, (size, k, alpha, beta), &own)
    cdef cnp.ndarray gradient = as_input("lrn_backward", "dZ_out", dZ_out, -1, images)
    check_shape("lrn_backward", "dZ_out", gradient, (<object> images).shape)
    cdef cnp.ndarray result = as_output(
        "lrn_backward", "out", out, (<object> images).shape, images,
        (("dZ_out", dZ_out), ("Z", Z)),
    )
    cdef cnp.ndarray scratch = np.empty(lrn_scratch(own.d), images.dtype)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(images) // own.d
    cdef bint is_double = cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE
    cdef void *dOut_ = cnp.PyArray_DATA(gradient)
    cdef void *Z_ = cnp.PyArray_DATA(images)
    cdef void *out_ = cnp.PyArray_DATA(result)
    cdef void *scratch_ = cnp.PyArray_DATA(scratch)
    with nogil:
        if is_double:
            lrn_backward_rows(
                &own, n, <const double *> dOut_, <const double *> Z_, False, <double *> out_,
                <double *> scratch_,
            )
        else:
            lrn_backward_rows(
                &own, n, <const float *> dOut_, <const float *> Z_, False, <float *> out_,
                <float *> scratch_,
            )
    return result
