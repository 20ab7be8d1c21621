"""Products of matrices one of which has few columns.

The larger matrix A is read once, four columns at a time, and added to two columns of the result,
which stay in cache; a transposed one in scalar products, two with two. The compiler makes SIMD
loops of these.
"""

from ._tuning cimport tuning_of
from ._types cimport real

cdef enum:
    BLOCK = 4096            # rows of A and C that are multiplied at a time
    LANES = 16              # partial sums of a scalar product
    MIN_ELEMENTS = 1 << 8   # of A: a smaller product is a call of a few microseconds


cdef bint columns_pay(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, bint is_double
) noexcept nogil:
    return n <= tuning_of(is_double).columns and m * k >= MIN_ELEMENTS


# c = A b and d = A e for four columns of A, or +=.
cdef inline void four_into_two(
    Py_ssize_t n, const real *A, Py_ssize_t ld, const real *b, const real *e, Py_ssize_t step,
    bint add, real *c, real *d,
) noexcept nogil:
    cdef const real *A1 = A + ld
    cdef const real *A2 = A1 + ld
    cdef const real *A3 = A2 + ld
    cdef real b0 = b[0], b1 = b[step], b2 = b[2 * step], b3 = b[3 * step]
    cdef real e0 = e[0], e1 = e[step], e2 = e[2 * step], e3 = e[3 * step]
    cdef real s, t
    cdef Py_ssize_t r
    for r in range(n):
        s = c[r] if add else 0
        t = d[r] if add else 0
        s = s + A[r] * b0
        t = t + A[r] * e0
        s = s + A1[r] * b1
        t = t + A1[r] * e1
        s = s + A2[r] * b2
        t = t + A2[r] * e2
        c[r] = s + A3[r] * b3
        d[r] = t + A3[r] * e3


cdef inline void four_into_one(
    Py_ssize_t n, const real *A, Py_ssize_t ld, const real *b, Py_ssize_t step, bint add, real *c
) noexcept nogil:
    cdef const real *A1 = A + ld
    cdef const real *A2 = A1 + ld
    cdef const real *A3 = A2 + ld
    cdef real b0 = b[0], b1 = b[step], b2 = b[2 * step], b3 = b[3 * step]
    cdef real s
    cdef Py_ssize_t r
    for r in range(n):
        s = c[r] if add else 0
        s = s + A[r] * b0
        s = s + A1[r] * b1
        s = s + A2[r] * b2
        c[r] = s + A3[r] * b3


cdef inline void one_into_one(
    Py_ssize_t n, const real *A, real b, bint add, real *c
) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(n):
        c[r] = (c[r] if add else 0) + A[r] * b


# C(m, n) += A(m, 4) B(4, n), or = unless add. Arguments as for `plain_product`.
cdef inline void add_four(
    Py_ssize_t m, Py_ssize_t n, const real *A, Py_ssize_t ld_A, const real *B, Py_ssize_t step_k,
    Py_ssize_t step_n, bint add, real *C, Py_ssize_t ld_C,
) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(0, n - 1, 2):
        four_into_two(
            m, A, ld_A, B + j * step_n, B + (j + 1) * step_n, step_k, add, C + j * ld_C,
            C + (j + 1) * ld_C,
        )
    if n % 2:
        four_into_one(
            m, A, ld_A, B + (n - 1) * step_n, step_k, add, C + (n - 1) * ld_C
        )


# C(m, n) = A(m, k) B(k, n), or +=, where B(p, j) is at p step_k + j step_n.
cdef void plain_product(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real *A, Py_ssize_t ld_A, const real *B,
    Py_ssize_t step_k, Py_ssize_t step_n, bint add, real *C, Py_ssize_t ld_C,
) noexcept nogil:
    cdef Py_ssize_t p, j
    for p in range(0, k - 3, 4):
        # a constant in each loop
        if add or p > 0:
            add_four(m, n, A + p * ld_A, ld_A, B + p * step_k, step_k, step_n, True, C, ld_C)
        else:
            add_four(m, n, A, ld_A, B, step_k, step_n, False, C, ld_C)
    for p in range(k // 4 * 4, k):
        for j in range(n):
            one_into_one(
                m, A + p * ld_A, B[p * step_k + j * step_n], add or p > 0, C + j * ld_C
            )


# The scalar products of columns A and A1 with columns B and B1, of k elements each. OUT: totals.
cdef inline void two_by_two(
    Py_ssize_t k, const real *A, const real *A1, const real *B, const real *B1, real *totals
) noexcept nogil:
    cdef real sums[4][LANES]
    cdef Py_ssize_t r = 0
    cdef int i, lane
    for lane in range(LANES):
        sums[0][lane] = sums[1][lane] = sums[2][lane] = sums[3][lane] = 0
    while r + LANES <= k:
        for lane in range(LANES):
            sums[0][lane] += A[r + lane] * B[r + lane]
            sums[1][lane] += A1[r + lane] * B[r + lane]
            sums[2][lane] += A[r + lane] * B1[r + lane]
            sums[3][lane] += A1[r + lane] * B1[r + lane]
        r += LANES
    for i in range(4):
        totals[i] = 0
        for lane in range(LANES):
            totals[i] += sums[i][lane]
    while r < k:
        totals[0] += A[r] * B[r]
        totals[1] += A1[r] * B[r]
        totals[2] += A[r] * B1[r]
        totals[3] += A1[r] * B1[r]
        r += 1


# C(m, n) = A(k, m)' B(k, n), or +=. Where a second column is missing, the first is taken twice.
cdef void transposed_product(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real *A, Py_ssize_t ld_A, const real *B,
    Py_ssize_t ld_B, bint add, real *C, Py_ssize_t ld_C,
) noexcept nogil:
    cdef Py_ssize_t i, j, u, v, rows, columns
    cdef real totals[4]
    for i in range(0, m, 2):
        rows = min(m - i, <Py_ssize_t> 2)
        for j in range(0, n, 2):
            columns = min(n - j, <Py_ssize_t> 2)
            two_by_two(
                k, A + i * ld_A, A + (i + rows - 1) * ld_A, B + j * ld_B,
                B + (j + columns - 1) * ld_B, totals,
            )
            for v in range(columns):
                for u in range(rows):
                    if add:
                        C[(j + v) * ld_C + i + u] += totals[2 * v + u]
                    else:
                        C[(j + v) * ld_C + i + u] = totals[2 * v + u]


cdef void columns_product(
    char op_A, char op_B, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    const real *A, Py_ssize_t ld_A, const real *B, Py_ssize_t ld_B,
    bint add, real *C, Py_ssize_t ld_C,
) noexcept nogil:
    cdef Py_ssize_t step_k = ld_B if op_B == c'T' else 1
    cdef Py_ssize_t step_n = 1 if op_B == c'T' else ld_B
    cdef Py_ssize_t i = 0, rows
    if op_A == c'T':
        transposed_product(m, n, k, A, ld_A, B, ld_B, add, C, ld_C)
        return
    while i < m:
        rows = min(m - i, <Py_ssize_t> BLOCK)
        plain_product(rows, n, k, A + i, ld_A, B, step_k, step_n, add, C + i, ld_C)
        i += rows
