"""Compiled losses: xi summed over images, and its gradient for the outputs.

A loss has a code. Targets are labels, one for each image, or rows of n elements.
"""

from ._types cimport real

cdef enum:
    NO_LOSS = 0
    SQUARED = 1     # ||z - y||^2; a label k stands for the unit vector y = e_k
    SOFTMAX = 2     # log sum_j exp(z_j) - sum_j y_j z_j


# Return the sum of xi over l images, in double precision, and its gradient divided by `divisor`.
# IN: z (l, n); labels (l,), or NULL and rows (l, n). OUT: dz (l, n) or NULL.
cdef double loss_value(
    int code, Py_ssize_t l, Py_ssize_t n, const real *z, const Py_ssize_t *labels,
    const real *rows, double divisor, real *dz,
) noexcept nogil
