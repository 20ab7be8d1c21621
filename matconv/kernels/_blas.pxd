"""Matrix products by SciPy's dgemm and sgemm.

Sizes are converted to the integers of BLAS here; `geometry_init` has checked that they fit.
"""

from scipy.linalg.cython_blas cimport dgemm, sgemm

from ._columns cimport columns_pay, columns_product
from ._tuning cimport Tuning, tuning_of
from ._types cimport real


# C(m, n) = op(A)(m, k) op(B)(k, n) + beta C, column-major, op by 'N' or 'T'.
# IN: A, B. INOUT: C (only written when beta is 0). No aliasing. 2 m n k flops.
# All sizes at least 1: BLAS is not called with an empty matrix.
cdef inline void gemm(
    char op_A, char op_B, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    const real *A, Py_ssize_t ld_A, const real *B, Py_ssize_t ld_B,
    real beta, real *C, Py_ssize_t ld_C,
) noexcept nogil:
    cdef int m_ = <int> m, n_ = <int> n, k_ = <int> k
    cdef int ld_A_ = <int> ld_A, ld_B_ = <int> ld_B, ld_C_ = <int> ld_C
    cdef real alpha = 1
    if real is double:
        dgemm(&op_A, &op_B, &m_, &n_, &k_, &alpha, <double *> A, &ld_A_, <double *> B, &ld_B_,
              &beta, C, &ld_C_)
    else:
        sgemm(&op_A, &op_B, &m_, &n_, &k_, &alpha, <float *> A, &ld_A_, <float *> B, &ld_B_,
              &beta, C, &ld_C_)


# The length of near-equal blocks of n elements, about `maximum` at most: a multiple of 8, a cache
# line of doubles.
cdef inline Py_ssize_t block_length(Py_ssize_t n, Py_ssize_t maximum) noexcept nogil:
    cdef Py_ssize_t count = (n + maximum - 1) // maximum
    return min(n, ((n + count - 1) // count + 7) // 8 * 8)


# C(m, n) = op(A)(m, k) op(B)(k, n), or += if add, in blocks, each by one `gemm`, or by
# `columns_product`. Arguments as for gemm; not both are transposed.
cdef inline void product(
    char op_A, char op_B, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    const real *A, Py_ssize_t ld_A, const real *B, Py_ssize_t ld_B,
    bint add, real *C, Py_ssize_t ld_C,
) noexcept nogil:
    cdef const Tuning *tuning
    cdef Py_ssize_t m_, n_, k_, i, j, p = 0
    if columns_pay(m, n, k, real is double):
        columns_product(op_A, op_B, m, n, k, A, ld_A, B, ld_B, add, C, ld_C)
        return
    tuning = tuning_of(real is double)
    m_ = block_length(m, tuning.product_rows)
    k_ = block_length(k, tuning.product_inner)
    n_ = block_length(n, tuning.product_multiply_adds // (m_ * k_))
    # a block of A, usually the larger matrix, stays in cache for all columns of B
    while p < k:
        i = 0
        while i < m:
            j = 0
            while j < n:
                # C(m_, n_) = op(A)(m_, k_) op(B)(k_, n_), or +=
                gemm(
                    op_A, op_B, min(m_, m - i), min(n_, n - j), min(k_, k - p),
                    A + (p * ld_A + i if op_A == c'N' else i * ld_A + p), ld_A,
                    B + (p + j * ld_B if op_B == c'N' else j + p * ld_B), ld_B,
                    1 if add or p > 0 else 0, C + j * ld_C + i, ld_C,
                )
                j += n_
            i += m_
        p += k_
