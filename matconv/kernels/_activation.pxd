"""Activations sigma, applied to each element, and their derivatives.

An activation is a code and two parameters. sigma' is computed from the output z = sigma(s), so that
s need not be saved. NaN is propagated by sigma; where z is NaN, sigma' is 1.
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
        double alpha, beta      # read only for codes that need them


# A ReLU, or no activation.
cdef inline Activation relu_if(bint relu) noexcept nogil:
    cdef Activation activation
    activation.code = RELU if relu else ACTIVATION_NONE
    activation.alpha = activation.beta = 0
    return activation


# Returns OK, or ACTIVATION for an unknown code or invalid parameters. IN: activation or NULL.
cdef inline int activation_status(const Activation *activation, bint is_double) noexcept nogil:
    cdef double slope
    if activation == NULL:
        return OK
    if activation.code == LEAKY_RELU:
        # rounded to the dtype: with a slope of 0, z would not have the sign of s, which sigma'
        # needs
        slope = activation.alpha if is_double else <float> activation.alpha
        return OK if 0 < slope < INFINITY else ACTIVATION
    if activation.code == CLIP:
        return OK if activation.alpha <= activation.beta else ACTIVATION
    if activation.code == ACTIVATION_NONE or activation.code == RELU:
        return OK
    return ACTIVATION


# sigma(s). The code is a constant in the loop of the caller.
cdef inline real activation_value(int code, real s, real alpha, real beta) noexcept nogil:
    if code == RELU:
        return 0 if s <= 0 else s
    if code == LEAKY_RELU:
        return alpha * s if s <= 0 else s
    if code == CLIP:
        s = alpha if s <= alpha else s
        return beta if s >= beta else s
    return s


# ds = sigma'(s) dz for z = sigma(s). dz is passed by value, since a load that depends on z prevents
# SIMD.
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
