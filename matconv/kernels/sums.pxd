"""Squares of elements, for gradients of single images."""

from ._types cimport real

# x'x, added in float64 in a fixed order, which depends on n only.
cdef double sum_of_squares(Py_ssize_t n, const real *x) noexcept nogil

# y(n) = x^2, or += if add. IN: x. OUT: y, may be x unless add.
cdef void square(Py_ssize_t n, const real *x, bint add, real *y) noexcept nogil
