"""Activations that are rounded several times: with exponentials, or products and sums."""

from libc.math cimport copysign, erfc, exp

from ._activation cimport (
    ELU, GELU, HARD_SIGMOID, HARD_SWISH, SIGMOID, SILU, SOFTPLUS, TANH, Activation,
)
from ._exp cimport exp_negative, expm1_negative, log1p_unit, minus_magnitude
from ._types cimport real

cdef enum:
    # sigma of x is 0 or x beyond it in silu and gelu; products with such a bound instead of an
    # infinite x are not NaN
    FAR = 1000


# 1 / (1 + e^-s), without overflow.
cdef inline real sigmoid(real s) noexcept nogil:
    cdef real e = exp_negative(minus_magnitude(s))
    cdef real top = <real> 1 if s >= 0 else e
    return top / (<real> 1 + e)


# tanh |s| = -m / (2 + m) with m = e^(-2 |s|) - 1.
cdef inline real tanh_value(real s) noexcept nogil:
    cdef real m = expm1_negative(<real> 2 * minus_magnitude(s))
    return <real> copysign(-m / (<real> 2 + m), s)


# log(1 + e^s) = max(s, 0) + log(1 + e^-|s|).
cdef inline real softplus(real s) noexcept nogil:
    cdef real e = exp_negative(minus_magnitude(s))
    cdef real positive = s if s > 0 else <real> 0
    return positive + log1p_unit(e)


cdef inline real elu(real s, real alpha) noexcept nogil:
    cdef real negative = <real> 0 if s > 0 else s
    cdef real below = alpha * expm1_negative(negative)
    return s if s > 0 else below


cdef inline real hard_sigmoid(real s, real alpha, real beta) noexcept nogil:
    s = alpha * s + beta
    s = <real> 0 if s <= 0 else s
    return <real> 1 if s >= 1 else s


cdef inline real silu(real s) noexcept nogil:
    cdef real bounded = <real> -FAR if s < -FAR else s
    return bounded * sigmoid(s)


cdef inline real hard_swish(real s) noexcept nogil:
    cdef real u = s * <real> (1.0 / 6) + <real> 0.5
    cdef real bounded = -3 if s <= -3 else s
    u = 0 if s <= -3 else u
    u = 1 if s >= 3 else u
    return bounded * u


# Phi(s) = erfc(-s / sqrt 2) / 2, the distribution function of N(0, 1).
cdef inline double normal_below(double s) noexcept nogil:
    return 0.5 * erfc(s * -0.7071067811865476)


cdef inline real gelu(real s) noexcept nogil:
    cdef double bounded = -FAR if s < -FAR else s
    return <real> (bounded * normal_below(s))


# sigma(s). The code is a constant in the loop of the caller.
cdef inline real value(int code, real s, real alpha, real beta) noexcept nogil:
    if code == SIGMOID:
        return sigmoid(s)
    if code == TANH:
        return tanh_value(s)
    if code == SOFTPLUS:
        return softplus(s)
    if code == ELU:
        return elu(s, alpha)
    if code == HARD_SIGMOID:
        return hard_sigmoid(s, alpha, beta)
    if code == SILU:
        return silu(s)
    if code == HARD_SWISH:
        return hard_swish(s)
    return gelu(s)


cdef inline real silu_slope(real s) noexcept nogil:
    cdef real e = exp_negative(minus_magnitude(s))
    cdef real top = <real> 1 if s >= 0 else e
    cdef real rest = e if s >= 0 else <real> 1
    # sigmoid(s) and 1 - sigmoid(s)
    top = top / (<real> 1 + e)
    rest = rest / (<real> 1 + e)
    s = <real> FAR if s > FAR else s
    s = <real> -FAR if s < -FAR else s
    return top * (<real> 1 + s * rest)


cdef inline real hard_swish_slope(real s) noexcept nogil:
    cdef real slope = s * <real> (1.0 / 3) + <real> 0.5
    slope = 0 if s <= -3 else slope
    return 1 if s >= 3 else slope


# Phi(s) + s phi(s), with the density phi.
cdef inline real gelu_slope(real s) noexcept nogil:
    cdef double x = s
    x = FAR if x > FAR else x
    x = -FAR if x < -FAR else x
    return <real> (normal_below(x) + x * exp(-0.5 * x * x) * 0.3989422804014327)


# sigma' from z = sigma(s), or from s for codes that need it.
cdef inline real slope(int code, real z, real alpha) noexcept nogil:
    cdef real below
    if code == SIGMOID:
        return z * (<real> 1 - z)
    if code == TANH:
        return (<real> 1 - z) * (<real> 1 + z)
    if code == SOFTPLUS:
        return -expm1_negative(-z)
    if code == ELU:
        below = z + alpha
        return <real> 1 if z > 0 else below
    if code == HARD_SIGMOID:
        alpha = <real> 0 if z <= 0 else alpha
        return <real> 0 if z >= 1 else alpha
    if code == SILU:
        return silu_slope(z)
    if code == HARD_SWISH:
        return hard_swish_slope(z)
    return gelu_slope(z)


# rounded_rows for one code.
cdef inline void rows_by(
    int code, Py_ssize_t n, Py_ssize_t d, const real *S, const real *b, real alpha, real beta,
    real *Z,
) noexcept nogil:
    cdef Py_ssize_t t, c
    if b == NULL:
        for c in range(n * d):
            Z[c] = value(code, S[c], alpha, beta)
        return
    for t in range(n):
        for c in range(d):
            Z[t * d + c] = value(code, S[t * d + c] + b[c], alpha, beta)


cdef void rounded_rows(
    const Activation *activation, Py_ssize_t n, Py_ssize_t d, const real *S, const real *b, real *Z
) noexcept nogil:
    cdef real alpha = <real> activation.alpha, beta = <real> activation.beta
    if activation.code == SIGMOID:
        rows_by(SIGMOID, n, d, S, b, alpha, beta, Z)
    elif activation.code == TANH:
        rows_by(TANH, n, d, S, b, alpha, beta, Z)
    elif activation.code == SOFTPLUS:
        rows_by(SOFTPLUS, n, d, S, b, alpha, beta, Z)
    elif activation.code == ELU:
        rows_by(ELU, n, d, S, b, alpha, beta, Z)
    elif activation.code == HARD_SIGMOID:
        rows_by(HARD_SIGMOID, n, d, S, b, alpha, beta, Z)
    elif activation.code == SILU:
        rows_by(SILU, n, d, S, b, alpha, beta, Z)
    elif activation.code == HARD_SWISH:
        rows_by(HARD_SWISH, n, d, S, b, alpha, beta, Z)
    elif activation.code == GELU:
        rows_by(GELU, n, d, S, b, alpha, beta, Z)


# rounded_backward_rows for one code.
cdef inline void backward_by(
    int code, Py_ssize_t n, const real *dZ, const real *Z, real alpha, real *dS
) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(n):
        dS[c] = dZ[c] * slope(code, Z[c], alpha)


cdef void rounded_backward_rows(
    const Activation *activation, Py_ssize_t n, const real *dZ, const real *Z, real *dS
) noexcept nogil:
    cdef real alpha = <real> activation.alpha
    if activation.code == SIGMOID:
        backward_by(SIGMOID, n, dZ, Z, alpha, dS)
    elif activation.code == TANH:
        backward_by(TANH, n, dZ, Z, alpha, dS)
    elif activation.code == SOFTPLUS:
        backward_by(SOFTPLUS, n, dZ, Z, alpha, dS)
    elif activation.code == ELU:
        backward_by(ELU, n, dZ, Z, alpha, dS)
    elif activation.code == HARD_SIGMOID:
        backward_by(HARD_SIGMOID, n, dZ, Z, alpha, dS)
    elif activation.code == SILU:
        backward_by(SILU, n, dZ, Z, alpha, dS)
    elif activation.code == HARD_SWISH:
        backward_by(HARD_SWISH, n, dZ, Z, alpha, dS)
    elif activation.code == GELU:
        backward_by(GELU, n, dZ, Z, alpha, dS)


# sigma'' for codes that need s; otherwise sigma'' / sigma' from z = sigma(s).
cdef inline real curvature(int code, real z) noexcept nogil:
    cdef real p, q
    cdef double x
    if code == SIGMOID:
        return <real> 1 - <real> 2 * z
    if code == TANH:
        return <real> -2 * z
    if code == SOFTPLUS:
        return exp_negative(-z)
    if code == ELU:
        return <real> 0 if z > 0 else <real> 1
    if code == HARD_SWISH:
        p = <real> (1.0 / 3)
        p = 0 if z <= -3 else p
        return 0 if z >= 3 else p
    if code == SILU:
        p, q = sigmoid(z), sigmoid(-z)
        x = z
        x = FAR if x > FAR else x
        x = -FAR if x < -FAR else x
        return p * q * (<real> 2 + <real> x * (q - p))
    if code == GELU:
        # (2 - s^2) phi(s)
        x = z
        x = FAR if x > FAR else x
        x = -FAR if x < -FAR else x
        return <real> ((2 - x * x) * exp(-0.5 * x * x) * 0.3989422804014327)
    return 0


# rounded_curved_rows for one code.
cdef inline void curved_by(
    int code, Py_ssize_t n, const real *S, const real *tS, real alpha, real *dZ, real *tdZ
) noexcept nogil:
    cdef Py_ssize_t c
    cdef real first
    for c in range(n):
        first = slope(code, S[c], alpha)
        tdZ[c] = first * tdZ[c] + curvature(code, S[c]) * tS[c] * dZ[c]
        dZ[c] = first * dZ[c]


cdef void rounded_curved_rows(
    const Activation *activation, Py_ssize_t n, const real *S, const real *tS, real *dZ, real *tdZ
) noexcept nogil:
    cdef real alpha = <real> activation.alpha
    if activation.code == SIGMOID:
        curved_by(SIGMOID, n, S, tS, alpha, dZ, tdZ)
    elif activation.code == TANH:
        curved_by(TANH, n, S, tS, alpha, dZ, tdZ)
    elif activation.code == SOFTPLUS:
        curved_by(SOFTPLUS, n, S, tS, alpha, dZ, tdZ)
    elif activation.code == ELU:
        curved_by(ELU, n, S, tS, alpha, dZ, tdZ)
    elif activation.code == HARD_SIGMOID:
        curved_by(HARD_SIGMOID, n, S, tS, alpha, dZ, tdZ)
    elif activation.code == SILU:
        curved_by(SILU, n, S, tS, alpha, dZ, tdZ)
    elif activation.code == HARD_SWISH:
        curved_by(HARD_SWISH, n, S, tS, alpha, dZ, tdZ)
    elif activation.code == GELU:
        curved_by(GELU, n, S, tS, alpha, dZ, tdZ)
