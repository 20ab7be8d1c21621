"""Bias and activation in one pass, and their adjoint in one pass: equations (1) to (3)."""

from ._activation cimport (
    ACTIVATION_NONE, CLIP, LEAKY_RELU, RELU, Activation, activation_gradient, activation_is_rounded,
    activation_value,
)
from ._rounded cimport rounded_backward_rows, rounded_rows
from ._types cimport real


# sigma of n elements, and its adjoint: as `bias_activation_rows` and `activation_backward_rows`
# without b and db, but compiled once, for the SIMD variant, and not into the caller.
cdef void apply_activation(
    const Activation *activation, Py_ssize_t n, const real *S, real *Z
) noexcept nogil
cdef void apply_activation_backward(
    const Activation *activation, Py_ssize_t n, const real *dZ, const real *Z, real *dS
) noexcept nogil


# Z(n, d) = sigma(S(n, d) + 1 b'). IN: S, b (d,) or NULL, valid activation or NULL.
# OUT: Z, may be S.
cdef inline void bias_activation_rows(
    Py_ssize_t n, Py_ssize_t d, const real *S, const real *b, const Activation *activation,
    real *Z,
) noexcept nogil:
    cdef int code = ACTIVATION_NONE if activation == NULL else activation.code
    # one call for each constant code, so that each is compiled to a loop without branches
    if code == RELU:
        rows_by(RELU, n, d, S, b, <real> 0, <real> 0, Z)
    elif code == LEAKY_RELU:
        rows_by(LEAKY_RELU, n, d, S, b, <real> activation.alpha, <real> 0, Z)
    elif code == CLIP:
        rows_by(CLIP, n, d, S, b, <real> activation.alpha, <real> activation.beta, Z)
    elif activation_is_rounded(code):
        rounded_rows(activation, n, d, S, b, Z)
    elif b != NULL or S != Z:
        rows_by(ACTIVATION_NONE, n, d, S, b, <real> 0, <real> 0, Z)


# bias_activation_rows for one code.
cdef inline void rows_by(
    int code, Py_ssize_t n, Py_ssize_t d, const real *S, const real *b, real alpha, real beta,
    real *Z,
) noexcept nogil:
    cdef Py_ssize_t t, c
    cdef const real *S_t
    cdef real *Z_t
    if b == NULL:
        for c in range(n * d):
            Z[c] = activation_value(code, S[c], alpha, beta)
        return
    for t in range(n):
        S_t = S + t * d
        Z_t = Z + t * d
        for c in range(d):
            Z_t[c] = activation_value(code, S_t[c] + b[c], alpha, beta)


# dS(n, d) = sigma'(S + 1 b') dZ, with sigma' computed from Z = sigma(S + 1 b'); db(d) += dS' 1.
# IN: dZ, Z (S + 1 b' if the activation needs its input), valid activation or NULL. OUT: dS, may be
# dZ. INOUT: db or NULL.
cdef inline void activation_backward_rows(
    Py_ssize_t n, Py_ssize_t d, const real *dZ, const real *Z, const Activation *activation,
    real *dS, real *db,
) noexcept nogil:
    cdef int code = ACTIVATION_NONE if activation == NULL else activation.code
    if code == RELU:
        backward_rows_by(RELU, n, d, dZ, Z, <real> 0, <real> 0, dS, db)
    elif code == LEAKY_RELU:
        backward_rows_by(LEAKY_RELU, n, d, dZ, Z, <real> activation.alpha, <real> 0, dS, db)
    elif code == CLIP:
        backward_rows_by(
            CLIP, n, d, dZ, Z, <real> activation.alpha, <real> activation.beta, dS, db
        )
    elif activation_is_rounded(code):
        rounded_backward_rows(activation, n * d, dZ, Z, dS)
        if db != NULL:
            add_rows(n, d, <const real *> dS, db)
    elif db != NULL or dZ != dS:
        backward_rows_by(ACTIVATION_NONE, n, d, dZ, Z, <real> 0, <real> 0, dS, db)


# activation_backward_rows for one code.
cdef inline void backward_rows_by(
    int code, Py_ssize_t n, Py_ssize_t d, const real *dZ, const real *Z, real alpha, real beta,
    real *dS, real *db,
) noexcept nogil:
    cdef Py_ssize_t t, c
    cdef real ds
    cdef const real *dZ_t
    cdef const real *Z_t
    cdef real *dS_t
    if db == NULL:
        for c in range(n * d):
            dS[c] = activation_gradient(code, dZ[c], Z[c], alpha, beta)
        return
    for t in range(n):
        dZ_t = dZ + t * d
        Z_t = Z + t * d
        dS_t = dS + t * d
        for c in range(d):
            ds = activation_gradient(code, dZ_t[c], Z_t[c], alpha, beta)
            dS_t[c] = ds
            db[c] += ds


# db(d) += dS(n, d)' 1. IN: dS. INOUT: db.
cdef inline void add_rows(
    Py_ssize_t n, Py_ssize_t d, const real *dS, real *db
) noexcept nogil:
    cdef Py_ssize_t t, c
    cdef const real *dS_t
    for t in range(n):
        dS_t = dS + t * d
        for c in range(d):
            db[c] += dS_t[c]
