"""Winograd's convolution: what one geometry needs of it, and its passes."""

from ._activation cimport Activation
from ._geometry cimport Geometry
from ._types cimport real


# One direction, down (b) or right (a), of a tile.
cdef struct Direction:
    Py_ssize_t n, m, r     # inputs, outputs and filter taps of a tile
    Py_ssize_t phases      # stride-1 filters that a strided one is cut into: its stride
    Py_ssize_t tiles       # tiles of an image
    void *input            # the loops that apply B', B, B added, A', A, G and G'
    void *input_adjoint
    void *input_adjoint_add
    void *output
    void *output_adjoint
    void *filter
    void *filter_adjoint


cdef struct Winograd:
    Direction b, a
    Py_ssize_t positions   # n_b n_a: products of one tile and pair of channels
    Py_ssize_t inner       # channels of one group, of all phases: rows of V_k
    Py_ssize_t block       # tiles at once, at most
    bint apart             # U is so large that the backward pass holds U' and dU in turns
    Py_ssize_t step_U, step_V, step_M   # from one position to the next, in U, V and M
    Py_ssize_t rows_Ut, step_Ut         # from one filter, one position to the next, in a given U'
    Py_ssize_t size_U, size_W, size_V, size_M, size_work   # elements


# Plan for tiles of m_b x m_a outputs. OUT: w. False when there are no such transforms for g, or a
# size would not fit.
cdef bint winograd_plan(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, bint is_double, Winograd *w
) noexcept nogil

# What depends on the sizes of g, for the tiles that w has: for a part of what was planned.
# INOUT: w.
cdef void winograd_resize(const Geometry *g, Winograd *w) noexcept nogil

# Elements of scratch that the passes need.
cdef Py_ssize_t winograd_scratch(const Winograd *w, bint backward) noexcept nogil

# Blocks that the tiles of g.l images are cut into.
cdef Py_ssize_t winograd_blocks(const Geometry *g, const Winograd *w) noexcept nogil

# U = G_b g G'_a, all of them: w.size_U elements. IN: W. OUT: U. SCRATCH: 2 w.size_work elements.
cdef void winograd_prepare(
    const Geometry *g, const Winograd *w, const real *W, real *U, real *scratch
) noexcept nogil

# S = sigma(W phi(Z) + b 1') on blocks first to last - 1. IN: Z, U, b or NULL, a valid activation
# or NULL. OUT: S. INOUT: finite, or NULL: false once W phi(Z) + b 1' has a NaN or an infinity.
# SCRATCH: winograd_scratch(w, False). No aliasing.
cdef void winograd_forward(
    const Geometry *g, const Winograd *w, const real *Z, const real *U, const real *b,
    const Activation *activation, real *S, bint *finite, Py_ssize_t first, Py_ssize_t last,
    real *scratch,
) noexcept nogil

# U' of filters first to last - 1, for the backward pass: w.size_U elements of all d_out. IN: W.
# OUT: Ut. SCRATCH: w.size_W + 2 w.size_work elements.
cdef void winograd_prepare_backward(
    const Geometry *g, const Winograd *w, const real *W, real *Ut, Py_ssize_t first,
    Py_ssize_t last, real *scratch,
) noexcept nogil

# The gradient for Z, or added to it with add_images, and dU, or added to it with `add`; each or
# NULL: not computed. IN: dS, Z, Ut (only for dZ). OUT: dZ, dU, w.size_U elements.
# SCRATCH: winograd_scratch(w, False). No aliasing.
cdef void winograd_backward_sum(
    const Geometry *g, const Winograd *w, const real *dS, const real *Z, const real *Ut,
    bint add_images, real *dZ, bint add, real *dU, real *scratch,
) noexcept nogil

# dW of channels first to last - 1, or added to it with `add`, from the sum of n > 0 dU, w.size_U
# elements apart, in their order. INOUT: dU: these channels of the first are overwritten. OUT: dW.
# SCRATCH: 2 w.size_work elements.
cdef void winograd_add_sums(
    const Geometry *g, const Winograd *w, real *dU, Py_ssize_t n, Py_ssize_t first,
    Py_ssize_t last, bint add, real *dW, real *scratch,
) noexcept nogil

# The gradients for Z, W and b, each or NULL: not computed. With add_images the one for Z, with
# add_parameters those for W and b are added to what is there.
# IN: dS, Z, and for dZ either Ut or, where that is NULL, W. OUT: dZ, dW, db.
# SCRATCH: winograd_scratch(w, True), also when Ut is given. No aliasing.
cdef void winograd_backward(
    const Geometry *g, const Winograd *w, const real *dS, const real *Z, const real *W,
    const real *Ut, bint add_images, real *dZ, bint add_parameters, real *dW, real *db,
    real *scratch,
) noexcept nogil
