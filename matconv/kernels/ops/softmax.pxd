"""Softmax and LogSoftmax over the channels of each pixel."""

from libc.math cimport log

from .._exp cimport exp_negative
from .._operation cimport Call, Operation, Range, Step, new_operation
from .._types cimport real
from .activation cimport same_as_input
from .scale cimport pixels_of, split_pixels


# e_c = exp(x_c - max x). OUT: e(d). Returns max x, which is NaN if x_0 is.
cdef inline real exponentials(Py_ssize_t d, const real *x, real *e) noexcept nogil:
    cdef real largest = x[0]
    cdef Py_ssize_t c
    for c in range(1, d):
        largest = x[c] if x[c] > largest else largest
    for c in range(d):
        e[c] = exp_negative(x[c] - largest)
    return largest


# y = e / sum e, or log y = x - max x - log sum e.
cdef inline void forward_real(
    const Step *step, Call *call, real *Z_out, bint is_log
) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = step.values[step.output].channels, t, c
    cdef const real *x
    cdef real *y
    cdef real largest, total
    for t in range(pixels.first, pixels.last):
        x = <const real *> call.inputs[0] + t * d
        y = Z_out + t * d
        largest = exponentials(d, x, y)
        total = 0
        for c in range(d):
            total += y[c]
        if is_log:
            total = <real> log(total)
            for c in range(d):
                y[c] = x[c] - largest - total
        else:
            for c in range(d):
                y[c] = y[c] / total


# dx = y (dy - sum dy y), or for the logarithm dx = dy - e^y sum dy.
cdef inline void backward_real(
    const Step *step, Call *call, real *dZ, bint is_log
) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = step.values[step.output].channels, t, c
    cdef const real *y
    cdef const real *dy
    cdef real *dx
    cdef real total, value
    for t in range(pixels.first, pixels.last):
        y = <const real *> call.output + t * d
        dy = <const real *> call.d_output + t * d
        dx = dZ + t * d
        total = 0
        for c in range(d):
            total += dy[c] if is_log else dy[c] * y[c]
        if not call.add_input[0]:
            for c in range(d):
                dx[c] = 0
        for c in range(d):
            value = dy[c] - exp_negative(y[c]) * total if is_log else y[c] * (dy[c] - total)
            dx[c] += value


cdef inline void forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output, False)
    else:
        forward_real(step, call, <float *> call.output, False)


cdef inline void log_forward(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        forward_real(step, call, <double *> call.output, True)
    else:
        forward_real(step, call, <float *> call.output, True)


cdef inline void backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <double *> call.d_inputs[0], False)
    else:
        backward_real(step, call, <float *> call.d_inputs[0], False)


cdef inline void log_backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL:
        return
    if step.is_double:
        backward_real(step, call, <double *> call.d_inputs[0], True)
    else:
        backward_real(step, call, <float *> call.d_inputs[0], True)


# ty = y (tx - sum y tx), or for the logarithm ty = tx - sum e^y tx.
cdef inline void tangent_real(
    const Step *step, Call *call, real *tZ_out, bint is_log
) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = step.values[step.output].channels, t, c
    cdef const real *y
    cdef const real *tx
    cdef real *ty
    cdef real total
    for t in range(pixels.first, pixels.last):
        y = <const real *> call.output + t * d
        tx = <const real *> call.t_inputs[0] + t * d
        ty = tZ_out + t * d
        total = 0
        for c in range(d):
            total += (exp_negative(y[c]) if is_log else y[c]) * tx[c]
        for c in range(d):
            ty[c] = tx[c] - total if is_log else y[c] * (tx[c] - total)


cdef inline void tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output, False)
    else:
        tangent_real(step, call, <float *> call.t_output, False)


cdef inline void log_tangent(const Step *step, Call *call) noexcept nogil:
    if step.is_double:
        tangent_real(step, call, <double *> call.t_output, True)
    else:
        tangent_real(step, call, <float *> call.t_output, True)


# With ty as in the tangent pass: dx += ty (dy - sum dy y) - y sum dy ty, or for the logarithm
# dx -= e^y ty sum dy.
cdef inline void tangent_backward_real(
    const Step *step, Call *call, real *dZ, bint is_log
) noexcept nogil:
    cdef Range pixels = pixels_of(step, call)
    cdef Py_ssize_t d = step.values[step.output].channels, t, c
    cdef const real *y
    cdef const real *tx
    cdef const real *dy
    cdef real *dx
    cdef real mean, total, curved, ty
    for t in range(pixels.first, pixels.last):
        y = <const real *> call.output + t * d
        tx = <const real *> call.t_inputs[0] + t * d
        dy = <const real *> call.d_output + t * d
        dx = dZ + t * d
        mean = total = curved = 0
        for c in range(d):
            mean += (exp_negative(y[c]) if is_log else y[c]) * tx[c]
            total += dy[c] if is_log else dy[c] * y[c]
        if is_log:
            for c in range(d):
                dx[c] -= exp_negative(y[c]) * (tx[c] - mean) * total
            continue
        for c in range(d):
            curved += dy[c] * (y[c] * (tx[c] - mean))
        for c in range(d):
            ty = y[c] * (tx[c] - mean)
            dx[c] += ty * (dy[c] - total) - y[c] * curved


cdef inline void tangent_backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL or call.t_inputs[0] == NULL:
        return
    if step.is_double:
        tangent_backward_real(step, call, <double *> call.d_inputs[0], False)
    else:
        tangent_backward_real(step, call, <float *> call.d_inputs[0], False)


cdef inline void log_tangent_backward(const Step *step, Call *call) noexcept nogil:
    if call.d_inputs[0] == NULL or call.t_inputs[0] == NULL:
        return
    if step.is_double:
        tangent_backward_real(step, call, <double *> call.d_inputs[0], True)
    else:
        tangent_backward_real(step, call, <float *> call.d_inputs[0], True)


cdef inline Operation operation() noexcept:
    cdef Operation table = new_operation(b"Softmax", 1, 1, same_as_input, forward, backward)
    table.split = split_pixels
    table.tangent = tangent
    table.tangent_backward = tangent_backward
    return table


cdef inline Operation log_operation() noexcept:
    cdef Operation table = new_operation(
        b"LogSoftmax", 1, 1, same_as_input, log_forward, log_backward
    )
    table.split = split_pixels
    table.tangent = log_tangent
    table.tangent_backward = log_tangent_backward
    return table
