"""Activations sigma, applied to each element, and their derivatives.

An activation is a code and two parameters. NaN is propagated by all of them. For most codes sigma'
is computed from the output z = sigma(s), so that s need not be saved; `activation_needs_input` says
for which s itself is needed. Where z or s is NaN, sigma' is the slope of a linear piece or NaN.

This file has those that are rounded at most once, which are compiled into the loops of the caller.
The others are in `_rounded`, once, so that a result has the same bits whatever computes it.
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
        SIGMOID "MATCONV_SIGMOID"
        TANH "MATCONV_TANH"
        SOFTPLUS "MATCONV_SOFTPLUS"
        ELU "MATCONV_ELU"
        HARD_SIGMOID "MATCONV_HARD_SIGMOID"
        SILU "MATCONV_SILU"
        HARD_SWISH "MATCONV_HARD_SWISH"
        GELU "MATCONV_GELU"
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
    if uses_alpha(activation.code) and activation.code != CLIP:
        # rounded to the dtype: with a slope of 0, z would not have the sign of s, which sigma'
        # needs
        slope = activation.alpha if is_double else <float> activation.alpha
        if not 0 < slope < INFINITY:
            return ACTIVATION
    if activation.code == CLIP:
        return OK if activation.alpha <= activation.beta else ACTIVATION
    if activation.code == HARD_SIGMOID:
        slope = activation.beta if is_double else <float> activation.beta
        return OK if -INFINITY < slope < INFINITY else ACTIVATION
    return OK if ACTIVATION_NONE <= activation.code <= GELU else ACTIVATION


# Whether a code uses alpha, and beta.
cdef inline bint uses_alpha(int code) noexcept nogil:
    return code == LEAKY_RELU or code == ELU or uses_beta(code)


cdef inline bint uses_beta(int code) noexcept nogil:
    return code == CLIP or code == HARD_SIGMOID


# Whether sigma' is computed from s, not from z = sigma(s).
cdef inline bint activation_needs_input(int code) noexcept nogil:
    return code == SILU or code == HARD_SWISH or code == GELU


# Whether the functions of `_rounded` compute the activation.
cdef inline bint activation_is_rounded(int code) noexcept nogil:
    return code >= SIGMOID


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
