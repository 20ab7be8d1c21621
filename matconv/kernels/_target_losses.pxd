"""Losses of the target of a program, after the passes that compute its value."""

from ._losses cimport Samples, loss_product, loss_value
from ._passes cimport program_target
from ._program cimport Program


# The sum of the loss over samples. IN: state. OUT: dz, its gradient over the divisor, unless NULL.
cdef inline double target_loss(
    const Program *p, int code, const Samples *samples, void *state, void *dz
) noexcept nogil:
    cdef const void *z = program_target(p, state)
    if p.item_size == 8:
        return loss_value(code, samples, <const double *> z, <double *> dz)
    return loss_value(code, samples, <const float *> z, <float *> dz)


# IN: state; tz, a derivative of the target. OUT: product = B tz over the divisor.
cdef inline void target_loss_product(
    const Program *p, int code, const Samples *samples, void *state, const void *tz, void *product
) noexcept nogil:
    cdef const void *z = program_target(p, state)
    if p.item_size == 8:
        loss_product(code, samples, <const double *> z, <const double *> tz, <double *> product)
    else:
        loss_product(code, samples, <const float *> z, <const float *> tz, <float *> product)
