"""phi(Z) as a whole, in the order of the notes, and its adjoint: equation (4) of the notes."""

from libc.string cimport memset

cimport numpy as cnp

from ._arrays cimport as_input, as_output, check_shape
from ._geometry cimport Geometry, WindowGeometry, mul_overflows
from ._tile cimport inside
from ._types cimport real

cnp.import_array()


cdef void im2col_fill(const Geometry *g, const real *Z, real *phi) noexcept nogil:
    cdef Py_ssize_t hh = g.h_b * g.h_a, d = g.d
    cdef Py_ssize_t i, q, p, u, v, j, y, x0, lo = 0, hi = 0
    cdef const real *image
    cdef const real *pixel
    cdef real *row
    for i in range(g.l):
        image = Z + i * g.b * g.a * d
        for q in range(g.b_out):
            for p in range(g.a_out):
                x0 = p * g.s_a - g.left
                inside(x0, g.dil_a, g.a, g.h_a, &lo, &hi)
                for u in range(g.h_b):
                    y = q * g.s_b - g.top + u * g.dil_b
                    for v in range(g.h_a):
                        row = phi + u * g.h_a + v
                        if 0 <= y < g.b and lo <= v < hi:
                            pixel = image + (y * g.a + x0 + v * g.dil_a) * d
                            for j in range(d):
                                row[j * hh] = pixel[j]
                        else:
                            for j in range(d):
                                row[j * hh] = 0
                phi += hh * d


cdef void col2im_add(const Geometry *g, const real *phi, real *Z) noexcept nogil:
    cdef Py_ssize_t hh = g.h_b * g.h_a, d = g.d
    cdef Py_ssize_t i, q, p, u, v, j, y, x0, lo = 0, hi = 0
    cdef real *image
    cdef real *pixel
    cdef const real *row
    for i in range(g.l):
        image = Z + i * g.b * g.a * d
        for q in range(g.b_out):
            for p in range(g.a_out):
                x0 = p * g.s_a - g.left
                inside(x0, g.dil_a, g.a, g.h_a, &lo, &hi)
                for u in range(g.h_b):
                    y = q * g.s_b - g.top + u * g.dil_b
                    if y < 0 or y >= g.b:
                        continue
                    for v in range(lo, hi):
                        row = phi + u * g.h_a + v
                        pixel = image + (y * g.a + x0 + v * g.dil_a) * d
                        for j in range(d):
                            pixel[j] += row[j * hh]
                phi += hh * d


cdef bint phi_overflows(const Geometry *g) noexcept nogil:
    cdef Py_ssize_t total = 0
    return (
        mul_overflows(g.b_out, g.a_out, &total)
        or mul_overflows(total, g.K, &total)
        or mul_overflows(total, 8, &total)
        or mul_overflows(total, g.l, &total)
    )


cdef tuple phi_shape(str function, WindowGeometry geometry):
    cdef const Geometry *g = &geometry.c
    if phi_overflows(g):
        raise OverflowError(
            f"{function}: the sizes of phi overflow "
            f"({g.l} x {g.b_out * g.a_out} x {g.K} elements)"
        )
    return g.l, g.b_out * g.a_out, g.K


def im2col(Z, kernel, stride=1, pad=0, dilation=1, out=None):
    """Return phi(Z), whose rows are the sub-images, in the order of the notes.

    Parameters
    ----------
    Z : array, shape (l, b, a, d)
        Images: count, height, width, channels; float64 or float32.
    kernel, stride, dilation : int or (height, width)
    pad : int, (height, width) or ((top, bottom), (left, right))
        Rows and columns of zeros around each image.
    out : array, shape of the result, optional
        C-contiguous, of Z's dtype, not overlapping Z.

    Returns
    -------
    phi : ndarray, shape (l, b_out * a_out, d * h_b * h_a)
        ``phi[i].T`` is the hhd x a_out b_out matrix of the notes: column ``q * a_out + p`` is the
        sub-image of output pixel (p, q), in which the horizontal offset varies fastest, then the
        vertical one, then the channel.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Notes
    -----
    Equation (4), ``phi[i].ravel() == P_phi(...) @ Z[i].ravel()``, holds exactly. `col2im` is the
    adjoint. `conv2d` does not compute phi as a whole.

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> matconv.im2col(Z, 2)[0]
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    cdef cnp.ndarray images = as_input("im2col", "Z", Z, 4)
    cdef WindowGeometry geometry = WindowGeometry(
        "im2col", (<object> images).shape, kernel, stride, pad, dilation
    )
    cdef cnp.ndarray phi = as_output(
        "im2col", "out", out, phi_shape("im2col", geometry), images, (("Z", Z),)
    )
    cdef const Geometry *g = &geometry.c
    cdef void *source = cnp.PyArray_DATA(images)
    cdef void *target = cnp.PyArray_DATA(phi)
    cdef bint is_double = cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE
    with nogil:
        if is_double:
            im2col_fill(g, <const double *> source, <double *> target)
        else:
            im2col_fill(g, <const float *> source, <float *> target)
    return phi


def col2im(phi, shape, kernel, stride=1, pad=0, dilation=1, out=None):
    """Return P_phi' phi, the exact adjoint of `im2col`.

    Every element of phi is added to the pixel from which `im2col` copies it. Elements that belong
    to the padding are ignored; pixels that no window covers are 0.

    Parameters
    ----------
    phi : array, shape (l, b_out * a_out, d * h_b * h_a)
        float64 or float32.
    shape : (l, b, a, d)
        Shape of the images.
    kernel, stride, pad, dilation
        As for `im2col`.
    out : array, shape (l, b, a, d), optional
        Overwritten; C-contiguous, of phi's dtype, not overlapping phi.

    Returns
    -------
    Z : ndarray, shape (l, b, a, d)

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    The number of windows that cover each pixel:

    >>> import numpy as np, matconv
    >>> matconv.col2im(np.ones((1, 4, 4)), (1, 3, 3, 1), 2)[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    cdef cnp.ndarray columns = as_input("col2im", "phi", phi, 3)
    cdef WindowGeometry geometry = WindowGeometry("col2im", shape, kernel, stride, pad, dilation)
    cdef const Geometry *g = &geometry.c
    check_shape("col2im", "phi", columns, phi_shape("col2im", geometry))
    cdef cnp.ndarray images = as_output(
        "col2im", "out", out, geometry.shape, columns, (("phi", phi),)
    )
    cdef void *source = cnp.PyArray_DATA(columns)
    cdef void *target = cnp.PyArray_DATA(images)
    cdef size_t size = cnp.PyArray_NBYTES(images)
    cdef bint is_double = cnp.PyArray_TYPE(columns) == cnp.NPY_DOUBLE
    with nogil:
        memset(target, 0, size)
        if is_double:
            col2im_add(g, <const double *> source, <double *> target)
        else:
            col2im_add(g, <const float *> source, <float *> target)
    return images
