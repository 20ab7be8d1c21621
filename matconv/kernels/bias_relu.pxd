"""Bias and ReLU in one pass, and their adjoint in one pass: equations (1) to (3)."""

from .types cimport real


# sigma(x) = max(x, 0), written so that a NaN survives
cdef inline real relu_value(real x) noexcept nogil:
    return 0 if x <= 0 else x


# Z(n, d) = S(n, d) + 1 b', then sigma when relu. IN: S, b (d,) or NULL. OUT: Z, may be S.
cdef inline void bias_relu_rows(
    Py_ssize_t n, Py_ssize_t d, const real *S, const real *b, bint relu, real *Z
) noexcept nogil:
    cdef Py_ssize_t _t, c
    if b == NULL:
        if relu:
            for c in range(n * d):
                Z[c] = relu_value(S[c])
        elif Z != S:
            for c in range(n * d):
                Z[c] = S[c]
        return
    for _t in range(n):
        if relu:
            for c in range(d):
                Z[c] = relu_value(S[c] + b[c])
        else:
            for c in range(d):
                Z[c] = S[c] + b[c]
        S += d
        Z += d


# dS(n, d) = dZ where sigma'(S) is 1, else 0; db(d) += the sum of its rows.
# sigma'(S) is read off Z = sigma(S): it is 0 where Z <= 0; a NaN lets dZ through.
# IN: dZ, Z. OUT: dS, may be dZ. INOUT: db.
cdef inline void bias_relu_backward_rows(
    Py_ssize_t n, Py_ssize_t d, const real *dZ, const real *Z, real *dS, real *db
) noexcept nogil:
    cdef Py_ssize_t _t, c
    cdef real slope
    for _t in range(n):
        for c in range(d):
            # read before the choice: a load that may not happen keeps the loop from SIMD
            slope = dZ[c]
            slope = 0 if Z[c] <= 0 else slope
            dS[c] = slope
            db[c] += slope
        dZ += d
        Z += d
        dS += d


# db(d) += the sum of the n rows of dS. IN: dS. INOUT: db.
cdef inline void add_rows(
    Py_ssize_t n, Py_ssize_t d, const real *dS, real *db
) noexcept nogil:
    cdef Py_ssize_t _t, c
    for _t in range(n):
        for c in range(d):
            db[c] += dS[c]
        dS += d
