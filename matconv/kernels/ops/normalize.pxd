"""Normalize: x / (sum |x|^p + epsilon)^(1/p) over channels, or over the pixels of each channel.

    words    spatial (0, 1): over pixels
    numbers  p, epsilon

Both are sums over the middle axis of an array (outer, n, inner): over channels this is (pixels, d,
1), over pixels (images, pixels, d).
"""

from libc.math cimport INFINITY, copysign, fabs, pow, sqrt

from .._operation cimport (
    Call, IMAGE, Operation, PIECE_ELEMENTS, Range, Sizes, Step, Value, input_of, new_operation,
    piece_count, piece_length, range_of,
)
from .._status cimport OK, SIZE
from .._types cimport real


cdef inline int shape(Step *step, Value *output) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    if not 0 <= step.words[0] <= 1 or (step.words[0] and Z.rank != IMAGE):
        return SIZE
    if not 1 <= step.numbers[0] < INFINITY or not 0 <= step.numbers[1] < INFINITY:
        return SIZE
    output[0] = Z[0]
    step.multiply_adds = 2.0 * Z.height * Z.width * Z.channels
    return OK


# The array (outer, n, inner) of one image.
cdef struct Axes:
    Py_ssize_t outer, n, inner


cdef inline Axes axes_of(const Step *step) noexcept nogil:
    cdef const Value *Z = input_of(step, 0)
    cdef Axes axes
    axes.outer, axes.n, axes.inner = Z.height * Z.width, Z.channels, 1
    if step.words[0]:
        axes.outer, axes.n, axes.inner = 1, axes.outer, axes.n
    return axes


# Outer items of a piece.
cdef inline Py_ssize_t outer_length(const Step *step) noexcept nogil:
    cdef Axes axes = axes_of(step)
    return piece_length(step.images * axes.outer, <double> axes.n * axes.inner, PIECE_ELEMENTS)


cdef inline Py_ssize_t split(const Step *step, int direction, int phase) noexcept nogil:
    cdef Axes axes = axes_of(step)
    return piece_count(step.images * axes.outer, outer_length(step)) if phase == 0 else 0


cdef inline int sizes(Step *step, Sizes *sizes) noexcept nogil:
    cdef Axes axes = axes_of(step)
    # of the tangent passes there are at most 4 sums
    sizes.forward, sizes.backward = axes.inner, 4 * axes.inner
    return OK


# |x|^p.
cdef inline real magnitude(real x, double p) noexcept nogil:
    if p == 2:
        return x * x
    return <real> fabs(x) if p == 1 else <real> pow(fabs(x), p)


# The derivative of |x|^p / p.
cdef inline real magnitude_slope(real x, double p) noexcept nogil:
    if p == 2:
        return x
    if x == 0:
        return 0
    if p == 1:
        # NaN has a sign too
        return <real> copysign(1, x) if x == x else x
    return <real> copysign(pow(fabs(x), p - 1), x)


# The second derivative of |x|^p / p; 0 at x = 0 unless p = 2, where it does not exist for p < 2.
cdef inline real magnitude_curvature(real x, double p) noexcept nogil:
    if p == 2:
        return 1
    if x == 0 or p == 1:
        return 0
    return <real> ((p - 1) * pow(fabs(x), p - 2))


# sums(inner) = sum over n of |x|^p + epsilon. IN: x(n, inner). OUT: sums.
cdef inline void add_powers(
    const Axes *axes, const real *x, double p, double epsilon, real *sums
) noexcept nogil:
    cdef Py_ssize_t k, c
    for c in range(axes.inner):
        sums[c] = 0
    for k in range(axes.n):
        for c in range(axes.inner):
            sums[c] += magnitude(x[k * axes.inner + c], p)
    for c in range(axes.inner):
        sums[c] += <real> epsilon


# t^(-1/p).
cdef inline real inverse_root(real t, double p) noexcept nogil:
    if p == 2:
        return <real> (1 / sqrt(<double> t))
    return 1 / t if p == 1 else <real> pow(t, -1 / p)


cdef inline void forward_real(const Step *step, Call *call, real *Z_out) noexcept nogil:
    cdef Axes axes = axes_of(step)
    cdef Range outer = range_of(call, call.images * axes.outer, outer_length(step))
    cdef double p = step.numbers[0]
    cdef Py_ssize_t i, k, c, at
    cdef const real *Z = <const real *> call.inputs[0]
    cdef real *factor = <real *> call.scratch
    for i in range(outer.first, outer.last):
        at = i * axes.n * axes.inner
        add_powers(&axes, Z + at, p, step.numbers[1], factor)
        for c in range(axes.inner):
            factor[c] = inverse_root(factor[c], p)
        for k in range(axes.n):
            for c in range(axes.inner):
                Z_out[at + k * axes.inner + c] = Z[at + k * axes.inner + c] * factor[c]


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output)
    else:
        forward_real(step, call, <float *> call.output)


# With t = sum |x|^p + epsilon:
#     dx = t^(-1/p) (dy - (sum dy x) / t  sign(x) |x|^(p-1)).
cdef inline void backward_real(const Step *step, Call *call, real *dZ) noexcept nogil:
    cdef Axes axes = axes_of(step)
    cdef Range outer = range_of(call, call.images * axes.outer, outer_length(step))
    cdef double p = step.numbers[0]
    cdef Py_ssize_t i, k, c, at, size = axes.n * axes.inner
    cdef const real *x
    cdef const real *dy
    cdef real *dx
    cdef real *factor = <real *> call.scratch
    cdef real *mean = factor + axes.inner
    cdef real value
    for i in range(outer.first, outer.last):
        x = <const real *> call.inputs[0] + i * size
        dy = <const real *> call.d_output + i * size
        dx = dZ + i * size
        add_powers(&axes, x, p, step.numbers[1], factor)
        for c in range(axes.inner):
            mean[c] = 0
        for k in range(axes.n):
            for c in range(axes.inner):
                mean[c] += dy[k * axes.inner + c] * x[k * axes.inner + c]
        for c in range(axes.inner):
            mean[c] = mean[c] / factor[c]
            factor[c] = inverse_root(factor[c], p)
        for k in range(axes.n):
            for c in range(axes.inner):
                at = k * axes.inner + c
                value = factor[c] * (dy[at] - mean[c] * magnitude_slope(x[at], p))
                dx[at] = dx[at] + value if call.add_input[0] else value


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <double *> call.d_inputs[0])
    else:
        backward_real(step, call, <float *> call.d_inputs[0])


# With t = sum |x|^p + epsilon:
#     ty = t^(-1/p) (tx - x / t  sum sign(x) |x|^(p-1) tx).
cdef inline void tangent_real(const Step *step, Call *call, real *tZ_out) noexcept nogil:
    cdef Axes axes = axes_of(step)
    cdef Range outer = range_of(call, call.images * axes.outer, outer_length(step))
    cdef double p = step.numbers[0]
    cdef Py_ssize_t i, k, c, at, size = axes.n * axes.inner
    cdef const real *x
    cdef const real *tx
    cdef real *ty
    cdef real *factor = <real *> call.scratch
    cdef real *mean = factor + axes.inner
    for i in range(outer.first, outer.last):
        x = <const real *> call.inputs[0] + i * size
        tx = <const real *> call.t_inputs[0] + i * size
        ty = tZ_out + i * size
        add_powers(&axes, x, p, step.numbers[1], factor)
        for c in range(axes.inner):
            mean[c] = 0
        for k in range(axes.n):
            for c in range(axes.inner):
                at = k * axes.inner + c
                mean[c] += magnitude_slope(x[at], p) * tx[at]
        for c in range(axes.inner):
            mean[c] = mean[c] / factor[c]
            factor[c] = inverse_root(factor[c], p)
        for k in range(axes.n):
            for c in range(axes.inner):
                at = k * axes.inner + c
                ty[at] = factor[c] * (tx[at] - mean[c] * x[at])


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output)
    else:
        tangent_real(step, call, <float *> call.t_output)


# With t = sum |x|^p + epsilon, s(x) = sign(x) |x|^(p-1), m = (sum dy x) / t, q = (sum s tx) / t and
# r = (sum dy tx) / t the derivative of the backward pass along tx, added to dx:
#     t^(-1/p) ((m p q - r) s - q (dy - m s) - m s' tx).
cdef inline void tangent_backward_real(const Step *step, Call *call, real *dZ) noexcept nogil:
    cdef Axes axes = axes_of(step)
    cdef Range outer = range_of(call, call.images * axes.outer, outer_length(step))
    cdef double p = step.numbers[0]
    cdef Py_ssize_t i, k, c, at, size = axes.n * axes.inner
    cdef const real *x
    cdef const real *tx
    cdef const real *dy
    cdef real *dx
    cdef real *factor = <real *> call.scratch
    cdef real *m = factor + axes.inner
    cdef real *q = m + axes.inner
    cdef real *r = q + axes.inner
    cdef real s, first, second
    for i in range(outer.first, outer.last):
        x = <const real *> call.inputs[0] + i * size
        tx = <const real *> call.t_inputs[0] + i * size
        dy = <const real *> call.d_output + i * size
        dx = dZ + i * size
        add_powers(&axes, x, p, step.numbers[1], factor)
        for c in range(axes.inner):
            m[c] = q[c] = r[c] = 0
        for k in range(axes.n):
            for c in range(axes.inner):
                at = k * axes.inner + c
                m[c] += dy[at] * x[at]
                q[c] += magnitude_slope(x[at], p) * tx[at]
                r[c] += dy[at] * tx[at]
        for c in range(axes.inner):
            m[c], q[c], r[c] = m[c] / factor[c], q[c] / factor[c], r[c] / factor[c]
            factor[c] = inverse_root(factor[c], p)
        for k in range(axes.n):
            for c in range(axes.inner):
                at = k * axes.inner + c
                s = magnitude_slope(x[at], p)
                first = (<real> p * m[c] * q[c] - r[c]) * s
                second = q[c] * (dy[at] - m[c] * s)
                dx[at] += factor[c] * (
                    first - second - m[c] * magnitude_curvature(x[at], p) * tx[at]
                )


cdef inline void tangent_backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL or call.t_inputs[0] == NULL:
        return
    if step.is_double:
        tangent_backward_real(step, call, <double *> call.d_inputs[0])
    else:
        tangent_backward_real(step, call, <float *> call.d_inputs[0])


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Normalize", 1, 1, shape, forward, backward)
    table.n_words = 1
    table.n_numbers = 2
    table.sizes = sizes
    table.split = split
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table
