"""Activations: a code and two numbers, applied to each number of an array; a NaN survives.

Derivatives are read off the output: it has the sign of the input, or lies on a bound.
"""

from .types cimport real

cdef enum:
    NO_ACTIVATION = 0
    RELU = 1        # max(x, 0)
    LEAKY = 2       # x for x > 0, else a x; a > 0
    CLIP = 3        # min(max(x, a), b); a < b
    ACTIVATIONS = 4

cdef struct Activation:
    int code
    double a, b


# Whether the numbers go with the code.
cdef inline bint is_activation(const Activation *act) noexcept nogil:
    if act.code == LEAKY:
        return 0 < act.a < 1e300 and act.b == 0
    if act.code == CLIP:
        return act.a < act.b
    return 0 <= act.code < ACTIVATIONS and act.a == 0 and act.b == 0


# Z = sigma(S) for n numbers. IN: S. OUT: Z, may be S.
cdef inline void activate(
    Py_ssize_t n, const Activation *act, const real *S, real *Z
) noexcept nogil:
    cdef Py_ssize_t k
    cdef real a = <real> act.a, b = <real> act.b
    if act.code == RELU:
        for k in range(n):
            Z[k] = 0 if S[k] <= 0 else S[k]
    elif act.code == LEAKY:
        for k in range(n):
            Z[k] = a * S[k] if S[k] <= 0 else S[k]
    elif act.code == CLIP:
        for k in range(n):
            Z[k] = a if S[k] < a else b if S[k] > b else S[k]
    elif Z != S:
        for k in range(n):
            Z[k] = S[k]


# dS = sigma'(S) dZ, sigma'(S) read off Z = sigma(S); a NaN lets dZ through.
# IN: dZ, Z. OUT: dS, may be dZ.
cdef inline void activation_backward(
    Py_ssize_t n, const Activation *act, const real *dZ, const real *Z, real *dS
) noexcept nogil:
    cdef Py_ssize_t k
    cdef real a = <real> act.a, b = <real> act.b, slope
    if act.code == RELU:
        for k in range(n):
            slope = dZ[k]
            dS[k] = 0 if Z[k] <= 0 else slope
    elif act.code == LEAKY:
        for k in range(n):
            slope = dZ[k]
            dS[k] = a * slope if Z[k] <= 0 else slope
    elif act.code == CLIP:
        for k in range(n):
            slope = dZ[k]
            dS[k] = 0 if Z[k] <= a or Z[k] >= b else slope
    elif dS != dZ:
        for k in range(n):
            dS[k] = dZ[k]
