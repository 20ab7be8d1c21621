"""Products of matrices one of which has few columns.

BLAS copies both matrices block by block before it multiplies them, which takes longer than the
product itself if each element is used only a few times.
"""

from ._types cimport real

# Whether `columns_product` is faster than BLAS for a product of these sizes.
cdef bint columns_pay(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, bint is_double
) noexcept nogil

# C(m, n) = op(A)(m, k) op(B)(k, n), or += if add. Arguments as for `product`; B is not transposed
# if A is. All sizes at least 1.
cdef void columns_product(
    char op_A, char op_B, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    const real *A, Py_ssize_t ld_A, const real *B, Py_ssize_t ld_B,
    bint add, real *C, Py_ssize_t ld_C,
) noexcept nogil
