"""The transforms of Winograd's convolution: C functions that the build generates by `toom_cook`."""

from ._types cimport real

cdef extern from "winograd_loops.h" nogil:
    enum:
        INPUT
        INPUT_ADJOINT
        INPUT_ADJOINT_ADD
        OUTPUT
        OUTPUT_ADJOINT
        FILTER
        FILTER_ADJOINT
    ctypedef void (*transform_f64)(
        Py_ssize_t count, const double *x, Py_ssize_t x_stride, double *y, Py_ssize_t y_stride
    ) noexcept nogil
    ctypedef void (*transform_f32)(
        Py_ssize_t count, const float *x, Py_ssize_t x_stride, float *y, Py_ssize_t y_stride
    ) noexcept nogil
    transform_f64 choose_f64(int kind, Py_ssize_t n, Py_ssize_t m) noexcept nogil
    transform_f32 choose_f32(int kind, Py_ssize_t n, Py_ssize_t m) noexcept nogil


# The transform of a kind for tiles of n inputs and m outputs; NULL if there is none.
cdef inline void *choose(bint is_double, int kind, Py_ssize_t n, Py_ssize_t m) noexcept nogil:
    if is_double:
        return <void *> choose_f64(kind, n, m)
    return <void *> choose_f32(kind, n, m)


# y_i[c] = sum_j T_ij x_j[c] for c < count; += for INPUT_ADJOINT_ADD.
# IN: x. OUT: y. The strides are between rows i, j. No aliasing.
cdef inline void apply(
    void *transform, Py_ssize_t count, const real *x, Py_ssize_t x_stride,
    real *y, Py_ssize_t y_stride,
) noexcept nogil:
    if real is double:
        (<transform_f64> transform)(count, x, x_stride, y, y_stride)
    else:
        (<transform_f32> transform)(count, x, x_stride, y, y_stride)
