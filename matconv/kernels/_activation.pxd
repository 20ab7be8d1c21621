"""Activations sigma, applied element by element, and their derivatives.

An activation is data: a code and two numbers. sigma' is read off the output z = sigma(s), so that
s need not be kept. NaN is propagated by sigma; where z is NaN, sigma' is 1.
"""

from libc.math cimport INFINITY

from ._status cimport ACTIVATION, OK
from ._types cimport real

cdef extern from "matconv/types.h" nogil:
    enum:
        ACTIVATION_NONE "MATCONV_ACTIVATION_NONE"
        RELU "MATCONV_RELU"
        LEAKY_RELU "MATCONV_LEAKY_RELU"
        CLIP "MATCONV_CLIP"
    ctypedef struct Activation "matconv_activation":
        int code
        double alpha, beta      # read only for the codes that need them


# A ReLU, or no activation.
cdef inline Activation relu_if(bint relu) noexcept nogil:
    cdef Activation activation
    activation.code = RELU if relu else ACTIVATION_NONE
    activation.alpha = activation.beta = 0
    return activation


# OK, or ACTIVATION: unknown code or bad numbers. IN: activation or NULL.
cdef inline int activation_status(const Activation *activation, bint is_double) noexcept nogil:
    cdef double slope
    if activation == NULL:
        return OK
    if activation.code == LEAKY_RELU:
        # in the dtype: a slope of 0 would lose the sign of s, which sigma' is read off
        slope = activation.alpha if is_double else <float> activation.alpha
        return OK if 0 < slope < INFINITY else ACTIVATION
    if activation.code == CLIP:
        return OK if activation.alpha <= activation.beta else ACTIVATION
    if activation.code == ACTIVATION_NONE or activation.code == RELU:
        return OK
    return ACTIVATION


# sigma(s). The code is a constant of the caller's loop.
cdef inline real activation_value(int code, real s, real alpha, real beta) noexcept nogil:
    if code == RELU:
        return 0 if s <= 0 else s
    if code == LEAKY_RELU:
        return alpha * s if s <= 0 else s
    if code == CLIP:
        s = alpha if s <= alpha else s
        return beta if s >= beta else s
    return s


# ds = sigma'(s) dz for z = sigma(s). dz is a value, not a load that depends on z: the compiler
# turns that into no SIMD mask.
cdef inline real activation_gradient(
    int code, real dz, real z, real alpha, real beta
) noexcept nogil:
    if code == RELU:
        return 0 if z <= 0 else dz
    if code == LEAKY_RELU:
        return alpha * dz if z <= 0 else dz
    if code == CLIP:
        dz = 0 if z <= alpha else dz
        return 0 if z >= beta else dz
    return dz
