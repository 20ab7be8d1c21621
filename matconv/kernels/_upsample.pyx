"""Upsampling by integer factors, nearest or bilinear, and the adjoints."""

from libc.string cimport memset

cimport numpy as cnp

from ._arrays cimport as_input, as_output, check_shape
from ._geometry cimport mul_overflows
from ._status cimport ALGORITHM, OK, OVERFLOW, SIZE
from ._types cimport real

from ._sizes import as_pair, as_shape

cnp.import_array()

METHODS = ("nearest", "bilinear")


# Where an output is between two inputs along one axis: (1 - w) Z[k] + w Z[k + step].
cdef struct Between:
    Py_ssize_t k, step
    double w


# Output q of n f, for n inputs. The position is a fraction of integers,
#     half-pixel centres    (q + 1/2) / f - 1/2 = (2 q + 1 - f) / (2 f), cut at the borders
#     aligned corners       q (n - 1) / (n f - 1)
# so that w is rounded once.
cdef inline Between between(int method, Py_ssize_t q, Py_ssize_t n, Py_ssize_t f) noexcept nogil:
    cdef Between at
    cdef Py_ssize_t above = q, below = f
    at.step = 0
    at.w = 0
    if method == BILINEAR:
        above, below = max(2 * q + 1 - f, <Py_ssize_t> 0), 2 * f
    elif method == BILINEAR_ALIGNED:
        above, below = q * (n - 1), max(n * f - 1, <Py_ssize_t> 1)
    at.k = above // below
    if method != NEAREST and at.k < n - 1:
        at.step = 1
        at.w = <double> (above % below) / below
    return at


# out(d) = sum of four pixels with weights. IN: Z, the first pixel. OUT: out.
cdef inline void mix(
    Py_ssize_t d, const real *Z, Py_ssize_t down, Py_ssize_t right, real w_b, real w_a, real *out
) noexcept nogil:
    cdef Py_ssize_t c
    cdef real one = 1
    cdef const real *below = Z + down
    for c in range(d):
        out[c] = (
            (one - w_b) * ((one - w_a) * Z[c] + w_a * Z[c + right])
            + w_b * ((one - w_a) * below[c] + w_a * below[c + right])
        )


# out(d) = (1 - w) Z + w Z'. IN: Z, the first pixel. OUT: out.
cdef inline void mix_two(
    Py_ssize_t d, const real *Z, Py_ssize_t step, real w, real *out
) noexcept nogil:
    cdef Py_ssize_t c
    cdef real one = 1
    for c in range(d):
        out[c] = (one - w) * Z[c] + w * Z[c + step]


cdef int upsample_init(
    Py_ssize_t l, Py_ssize_t b, Py_ssize_t a, Py_ssize_t d, Py_ssize_t f_b, Py_ssize_t f_a,
    int method, Upsampling *u,
) noexcept nogil:
    cdef Py_ssize_t height = 0, width = 0, size = 0
    if l < 0 or b < 1 or a < 1 or d < 1 or f_b < 1 or f_a < 1:
        return SIZE
    if not NEAREST <= method <= BILINEAR_ALIGNED:
        return ALGORITHM
    # 16 times the size of all images in elements, and the product of the length of a row or column
    # before and after, so that 2 q + 1 and q (n - 1) in `between` do not overflow
    if (
        mul_overflows(b, f_b, &height) or mul_overflows(a, f_a, &width)
        or mul_overflows(height, width, &size) or mul_overflows(size, d, &size)
        or mul_overflows(size, 16, &size) or mul_overflows(size, max(l, <Py_ssize_t> 1), &size)
        or mul_overflows(height, b, &size) or mul_overflows(width, a, &size)
    ):
        return OVERFLOW
    u.b, u.a, u.d = b, a, d
    u.f_b, u.f_a, u.method = f_b, f_a, method
    return OK


cdef void upsample_rows(
    const Upsampling *u, const real *Z, real *out, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    cdef Py_ssize_t row, x, c, width = u.a * u.f_a, d = u.d
    cdef Between y_at, x_at
    cdef const real *pixel
    out += first * width * d
    for row in range(first, last):
        y_at = between(u.method, row % (u.b * u.f_b), u.b, u.f_b)
        for x in range(width):
            x_at = between(u.method, x, u.a, u.f_a)
            pixel = Z + ((row // (u.b * u.f_b) * u.b + y_at.k) * u.a + x_at.k) * d
            # a pixel with weight 0 is not read, so that its NaN has no effect
            if y_at.w == 0 and x_at.w == 0:
                for c in range(d):
                    out[c] = pixel[c]
            elif y_at.w == 0:
                mix_two(d, pixel, x_at.step * d, <real> x_at.w, out)
            elif x_at.w == 0:
                mix_two(d, pixel, y_at.step * u.a * d, <real> y_at.w, out)
            else:
                mix(
                    d, pixel, y_at.step * u.a * d, x_at.step * d, <real> y_at.w, <real> x_at.w, out
                )
            out += d


# Z(d) += w dOut. IN: dOut. INOUT: Z.
cdef inline void add_part(Py_ssize_t d, real w, const real *dOut, real *Z) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(d):
        Z[c] += w * dOut[c]


# Z_row += w times the adjoint of a row of the output. IN: dOut, the row. INOUT: dZ, the row.
cdef inline void add_row(const Upsampling *u, real w, const real *dOut, real *dZ) noexcept nogil:
    cdef Py_ssize_t x, d = u.d
    cdef Between at
    cdef real w_a, one = 1
    for x in range(u.a * u.f_a):
        at = between(u.method, x, u.a, u.f_a)
        w_a = <real> at.w
        add_part(d, w * (one - w_a), dOut + x * d, dZ + at.k * d)
        if w_a != 0:
            add_part(d, w * w_a, dOut + x * d, dZ + (at.k + at.step) * d)


# Rows first to last - 1 of an image. IN: dOut, the image. INOUT: dZ, the image.
cdef void adjoint_of_image(
    const Upsampling *u, const real *dOut, real *dZ, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    cdef Py_ssize_t q, row = u.a * u.d
    cdef Between at
    cdef real w, one = 1
    # output q reads rows k and k + 1, where k <= q / f and, in an image of n rows,
    #     k > (2 q + 1 - f) / (2 f) - 1 > q / f - 3 / 2        half-pixel centres
    #     k > q (n - 1) / (n f - 1) - 1 > q / f - 2            aligned corners
    # so that k + 1 >= first needs q >= (first - 1) f, and k < last needs q < (last + 1) f
    for q in range(
        max(first - 1, <Py_ssize_t> 0) * u.f_b, min(last + 1, u.b) * u.f_b
    ):
        at = between(u.method, q, u.b, u.f_b)
        w = <real> at.w
        if first <= at.k < last:
            add_row(u, one - w, dOut + q * row * u.f_a, dZ + at.k * row)
        if w != 0 and first <= at.k + at.step < last:
            add_row(u, w, dOut + q * row * u.f_a, dZ + (at.k + at.step) * row)


cdef void upsample_adjoint(
    const Upsampling *u, const real *dOut, real *dZ, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    cdef Py_ssize_t image, stop, size = u.b * u.a * u.d
    while first < last:
        image = first // u.b
        stop = min(last, (image + 1) * u.b)
        adjoint_of_image(
            u, dOut + image * size * u.f_b * u.f_a, dZ + image * size, first - image * u.b,
            stop - image * u.b,
        )
        first = stop


def upsample_words(str function, factor, method, align_corners):
    """Return the checked (factor down, factor right, code of the method).

    Parameters
    ----------
    function : str
        The first word of every error message.
    factor, method, align_corners
        As for `upsample2d`.

    Raises
    ------
    TypeError, ValueError, OverflowError
    """
    f_b, f_a = as_pair(function, "factor", factor)
    if min(f_b, f_a) < 1:
        raise ValueError(f"{function}: factor must be at least 1, got {f_b} x {f_a}")
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"{function}: method must be 'nearest' or 'bilinear', got {method!r}")
    if align_corners and method == "nearest":
        raise ValueError(f"{function}: align_corners needs the method 'bilinear', got 'nearest'")
    return f_b, f_a, (BILINEAR_ALIGNED if align_corners else METHODS.index(method))


# OUT: u; returns the shape of the result. Raises OverflowError.
cdef tuple upsampling(
    str function, tuple shape, object factor, object method, bint align_corners, Upsampling *u
):
    f_b, f_a, code = upsample_words(function, factor, method, align_corners)
    l, b, a, d = shape
    if min(b, a, d) < 1:
        raise ValueError(
            f"{function}: images must have at least one element, got {b} x {a} x {d}"
        )
    if upsample_init(l, b, a, d, f_b, f_a, code, u) != OK:
        raise OverflowError(
            f"{function}: the sizes overflow (input {b} x {a} x {d}, factor {f_b} x {f_a})"
        )
    return (l, b * f_b, a * f_a, d)


def upsample2d(Z, factor, method="nearest", align_corners=False, out=None):
    """Enlarge images by integer factors.

    Parameters
    ----------
    Z : array, shape (l, b, a, d)
        Images: count, height, width, channels; float64 or float32.
    factor : int or (height, width)
    method : "nearest" or "bilinear"
        "nearest": each pixel is repeated. "bilinear": the weighted mean of up to four pixels.
    align_corners : bool
        For "bilinear". False: the centres of pixels are at 1/2, 3/2, ..., and there is no pixel
        beyond the border. True: the corner pixels of both images are at the same places.
    out : array, shape of the result, optional
        C-contiguous, of Z's dtype, not overlapping Z.

    Returns
    -------
    Z_out : ndarray, shape (l, factor b, factor a, d)
        A NaN or an infinity affects only the outputs in which its pixel has a weight.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z = np.array([0.0, 4.0]).reshape(1, 1, 2, 1)
    >>> matconv.upsample2d(Z, (1, 2)).ravel()
    array([0., 0., 4., 4.])
    >>> matconv.upsample2d(Z, (1, 2), "bilinear").ravel()
    array([0., 1., 3., 4.])
    """
    cdef cnp.ndarray images = as_input("upsample2d", "Z", Z, 4)
    cdef Upsampling u
    shape = upsampling("upsample2d", (<object> images).shape, factor, method, align_corners, &u)
    cdef cnp.ndarray result = as_output("upsample2d", "out", out, shape, images, (("Z", Z),))
    cdef bint is_double = cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE
    cdef void *Z_ = cnp.PyArray_DATA(images)
    cdef void *out_ = cnp.PyArray_DATA(result)
    cdef Py_ssize_t rows = shape[0] * shape[1]
    with nogil:
        if is_double:
            upsample_rows(&u, <const double *> Z_, <double *> out_, 0, rows)
        else:
            upsample_rows(&u, <const float *> Z_, <float *> out_, 0, rows)
    return result


def upsample2d_backward(dZ_out, shape, factor, method="nearest", align_corners=False):
    """Compute the gradient for the input of `upsample2d` from the gradient for its output.

    Parameters
    ----------
    dZ_out : array, shape (l, factor b, factor a, d)
    shape : (l, b, a, d)
        Shape of the images.
    factor, method, align_corners
        As for `upsample2d`.

    Returns
    -------
    dZ : ndarray, shape (l, b, a, d)

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> matconv.upsample2d_backward(np.ones((1, 2, 4, 1)), (1, 1, 2, 1), 2).ravel()
    array([4., 4.])
    """
    cdef str function = "upsample2d_backward"
    cdef cnp.ndarray gradient = as_input(function, "dZ_out", dZ_out, 4)
    cdef Upsampling u
    sizes = as_shape(function, shape)
    if sizes[0] < 0:
        raise ValueError(
            f"{function}: the number of images must be at least 0, got {sizes[0]}"
        )
    expected = upsampling(function, sizes, factor, method, align_corners, &u)
    check_shape(function, "dZ_out", gradient, expected)
    cdef cnp.ndarray dZ = as_output(function, "dZ", None, sizes, gradient, ())
    cdef bint is_double = cnp.PyArray_TYPE(gradient) == cnp.NPY_DOUBLE
    cdef void *dOut_ = cnp.PyArray_DATA(gradient)
    cdef void *dZ_ = cnp.PyArray_DATA(dZ)
    cdef size_t size = cnp.PyArray_NBYTES(dZ)
    cdef Py_ssize_t rows = sizes[0] * sizes[1]
    with nogil:
        memset(dZ_, 0, size)
        if is_double:
            upsample_adjoint(&u, <const double *> dOut_, <double *> dZ_, 0, rows)
        else:
            upsample_adjoint(&u, <const float *> dOut_, <float *> dZ_, 0, rows)
    return dZ
