"""The one door to BLAS: SciPy's dgemm and sgemm, called directly.

Only here do sizes become the integers of BLAS; `geometry_init` has checked that they fit.
"""

from scipy.linalg.cython_blas cimport dgemm, sgemm

from .types cimport real


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
