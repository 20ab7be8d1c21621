"""Bias and ReLU in one pass, and their adjoint in one pass: equations (1) to (3)."""

from .types cimport real


# sigma(x) = max(x, 0), written so that a NaN survives
cdef inline real relu_value(real x) noexcept nogil:
    return 0 if x <= 0 else x


# Z(n, d) = S(n, d) + 1 b', then sigma when relu. IN: S, b (d,) or NULL. OUT: Z, may be S.
cdef inline void bias_relu_rows(
    Py_ssize_t n, Py_ssize_t d, const real *S, const real *b, bint relu, real *Z
) noexcept nogil:
    cdef Py_ssize_t t, c
    cdef const real *S_t
    cdef real *Z_t
    if b == NULL:
        if relu:
            for c in range(n * d):
                Z[c] = relu_value(S[c])
        elif Z != S:
            for c in range(n * d):
                Z[c] = S[c]
        return
    for t in range(n):
        S_t = S + t * d
        Z_t = Z + t * d
        if relu:
            for c in range(d):
                Z_t[c] = relu_value(S_t[c] + b[c])
        else:
            for c in range(d):
                Z_t[c] = S_t[c] + b[c]


# dS(n, d) = dZ where sigma'(S) is 1, else 0; db(d) += the sum of its rows.
# sigma'(S) is read off Z = sigma(S): it is 0 where Z <= 0; a NaN lets dZ through.
# IN: dZ, Z. OUT: dS, may be dZ. INOUT: db.
cdef inline void bias_relu_backward_rows(
    Py_ssize_t n, Py_ssize_t d, const real *dZ, const real *Z, real *dS, real *db
) noexcept nogil:
    cdef Py_ssize_t t, c
    cdef real slope
    cdef const real *dZ_t
    cdef const real *Z_t
    cdef real *dS_t
    for t in range(n):
        dZ_t = dZ + t * d
        Z_t = Z + t * d
        dS_t = dS + t * d
        for c in range(d):
            # read before the choice: a load that may not happen keeps the loop from SIMD
            slope = dZ_t[c]
            slope = 0 if Z_t[c] <= 0 else slope
            dS_t[c] = slope
            db[c] += slope


# db(d) += the sum of the n rows of dS. IN: dS. INOUT: db.
cdef inline void add_rows(
    Py_ssize_t n, Py_ssize_t d, const real *dS, real *db
) noexcept nogil:
    cdef Py_ssize_t t, c
    cdef const real *dS_t
    for t in range(n):
        dS_t = dS + t * d
        for c in range(d):
            db[c] += dS_t[c]
