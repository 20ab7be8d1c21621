"""Winograd's convolution: the plan for a geometry, and the passes."""

from ._activation cimport Activation
from ._geometry cimport Geometry
from ._types cimport real


# A tile in one direction, down (b) or right (a).
cdef struct Direction:
    Py_ssize_t n, m, r     # inputs, outputs and filter taps of a tile
    Py_ssize_t phases      # filters of stride 1 whose sum is a strided filter: the stride
    Py_ssize_t tiles       # tiles of an image
    void *input            # transforms: B', B, B added to the output, A', A, G and G'
    void *input_adjoint
    void *input_adjoint_add
    void *output
    void *output_adjoint
    void *filter
    void *filter_adjoint


cdef struct Winograd:
    Direction b, a
    bint is_double
    Py_ssize_t positions   # n_b n_a: number of products k
    Py_ssize_t inner       # channels of a group, of all phases: rows of V_k
    Py_ssize_t block       # maximum number of tiles of a block
    bint reuse_U           # U is so large that in the backward pass U' and dU use the same memory
    Py_ssize_t step_U, step_V, step_M   # from one position to the next, in U, V and M
    Py_ssize_t rows_Ut, step_Ut         # from one filter, one position to the next, in a given U'
    Py_ssize_t size_U, size_W, size_V, size_M, size_work   # elements


# Plan for tiles of m_b x m_a outputs. OUT: w. Returns false if there are no such transforms for g,
# or a size overflows.
cdef bint winograd_plan(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, bint is_double, Winograd *w
) noexcept nogil

# Compute the members that depend on the sizes of g, which may be a part of what was planned, for
# the tiles of w. INOUT: w.
cdef void winograd_resize(const Geometry *g, Winograd *w) noexcept nogil

# Elements of scratch of a pass.
cdef Py_ssize_t winograd_scratch(const Winograd *w, bint backward) noexcept nogil

# The number of blocks of tiles of g.l images.
cdef Py_ssize_t winograd_blocks(const Geometry *g, const Winograd *w) noexcept nogil

# U = G_b g G'_a of all filters. IN: W. OUT: U, w.size_U elements. SCRATCH: 2 w.size_work elements.
cdef void winograd_prepare(
    const Geometry *g, const Winograd *w, const real *W, real *U, real *scratch
) noexcept nogil

# S = sigma(W phi(Z) + W_2 phi(Z_2) + b 1') on blocks first to last - 1. IN: Z, U; Z_2, U_2, or
# NULL; b or NULL, valid activation or NULL. OUT: S. INOUT: finite or NULL; set to false if S before
# sigma has a NaN or an infinity. SCRATCH: winograd_scratch(w, False). No aliasing.
cdef void winograd_forward(
    const Geometry *g, const Winograd *w, const real *Z, const real *U, const real *Z_2,
    const real *U_2, const real *b, const Activation *activation, real *S, bint *finite,
    Py_ssize_t first, Py_ssize_t last, real *scratch,
) noexcept nogil

# Filters first to last - 1 of U', for the backward pass. IN: W. OUT: Ut, w.size_U elements.
# SCRATCH: w.size_W + 2 w.size_work elements.
cdef void winograd_prepare_backward(
    const Geometry *g, const Winograd *w, const real *W, real *Ut, Py_ssize_t first,
    Py_ssize_t last, real *scratch,
) noexcept nogil

# The gradient for Z, or += if add_images, and dU, or += if add; NULL: not computed.
# IN: dS, Z, Ut (only for dZ). OUT: dZ; dU, w.size_U elements.
# SCRATCH: winograd_scratch(w, False). No aliasing.
cdef void winograd_backward_sum(
    const Geometry *g, const Winograd *w, const real *dS, const real *Z, const real *Ut,
    bint add_images, real *dZ, bint add, real *dU, real *scratch,
) noexcept nogil

# dW of channels first to last - 1, or dW += if add, from the sum of n > 0 dU, added in their order.
# INOUT: dU (n, w.size_U), of which these channels are overwritten in the first. OUT: dW.
# SCRATCH: 2 w.size_work elements.
cdef void winograd_add_sums(
    const Geometry *g, const Winograd *w, real *dU, Py_ssize_t n, Py_ssize_t first,
    Py_ssize_t last, bint add, real *dW, real *scratch,
) noexcept nogil

# The gradients for Z, W and b; NULL: not computed. add_images: dZ is added to; add_parameters: dW
# and db are added to. IN: dS; Z; for dZ either Ut or, if that is NULL, W. OUT: dZ, dW, db. SCRATCH:
# winograd_scratch(w, True), also if Ut is given. No aliasing.
cdef void winograd_backward(
    const Geometry *g, const Winograd *w, const real *dS, const real *Z, const real *W,
    const real *Ut, bint add_images, real *dZ, bint add_parameters, real *dW, real *db,
    real *scratch,
) noexcept nogil
