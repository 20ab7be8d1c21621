"""Convolution by im2col, Winograd's algorithm or direct loops: plans and drivers.

Filters are prepared first: transformed, or permuted to the order of a tile.
"""

from ._activation cimport Activation
from ._geometry cimport Geometry
from ._types cimport real
from ._winograd cimport Winograd


# The plan of a convolution, or of a part of one. Sizes are in elements.
cdef struct Convolution:
    Geometry g
    bint is_double
    bint by_winograd
    bint direct                 # by `_conv_direct`
    Winograd w                  # of Winograd's algorithm
    bint reads_W                # im2col backward: W is read instead of prepared filters
    Py_ssize_t row_W            # from one filter to the next in prepared filters, im2col backward
    Py_ssize_t prepared, prepared_backward      # filters prepared for a pass
    Py_ssize_t preparing, preparing_backward    # scratch to prepare them
    Py_ssize_t forward          # scratch of the forward pass with prepared filters
    Py_ssize_t backward         # scratch of the backward pass, with or without prepared filters
    Py_ssize_t sum              # output of `conv_backward_sum`: dW, or its transform


# Plan for the images of g; by Winograd's algorithm with tiles of m_b x m_a outputs, by im2col if
# m_b is 0, by direct loops if m_b is DIRECT, see `choose_tile`. OUT: c. Returns a status: ALGORITHM
# if there are no such transforms.
cdef int conv_plan(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a, Convolution *c
) noexcept nogil

# Change the number of images, for which c.g must also be valid. INOUT: c.
cdef void conv_set_images(Convolution *c, Py_ssize_t l) noexcept nogil

# The part of c for output rows first to last - 1 of one image. OUT: part. Returns the first input
# row of the part.
cdef Py_ssize_t conv_band(
    const Convolution *c, Py_ssize_t first, Py_ssize_t last, Convolution *part
) noexcept nogil

# The part of c, which has one group, for input channels first to last - 1. Its Z and dZ begin at
# channel `first`, W and dW at row first h_b h_a. OUT: part. Returns whether its prepared filters
# for the backward pass are those of c, from element `first` on.
cdef bint conv_channels(
    const Convolution *c, Py_ssize_t first, Py_ssize_t last, Convolution *part
) noexcept nogil

# The part of c, which has one group, for filters first to last - 1, in a forward pass that does not
# use taps. Its S, b and prepared filters begin at element `first`. OUT: part.
cdef void conv_units(
    const Convolution *c, Py_ssize_t first, Py_ssize_t last, Convolution *part
) noexcept nogil

# The number of tiles of phi, of blocks of Winograd's tiles, or of output rows.
cdef Py_ssize_t conv_tiles(const Convolution *c) noexcept nogil

# Whether the forward pass reads W as it is in theta, so that it need not be prepared.
cdef bint conv_reads_theta(const Convolution *c) noexcept nogil

# Whether filters W have the same prepared elements for the forward passes of both convolutions.
cdef bint conv_same_prepared(const Convolution *c, const Convolution *other) noexcept nogil

# Prepare filters for the forward pass. IN: W. OUT: prepared. SCRATCH: c.preparing.
cdef void conv_prepare(
    const Convolution *c, const real *W, real *prepared, real *scratch
) noexcept nogil

# Whether a forward pass can have a second product, see `im2col_adds`.
cdef bint conv_adds(const Convolution *c) noexcept nogil

# S = sigma(W phi(Z) + W_2 phi(Z_2) + b 1') on tiles first to last - 1.
# IN: Z, prepared; Z_2, prepared_2 if `conv_adds`, or NULL; b or NULL; valid activation or NULL.
# OUT: S. SCRATCH: c.forward. No aliasing.
cdef void conv_forward_prepared(
    const Convolution *c, const real *Z, const real *prepared, const real *Z_2,
    const real *prepared_2, const real *b, const Activation *activation, real *S,
    Py_ssize_t first, Py_ssize_t last, real *scratch,
) noexcept nogil

# Prepare filters first to last - 1 for the backward pass; with few channels, the call with first =
# 0 prepares all of them. IN: W. OUT: prepared. SCRATCH: c.preparing_backward.
cdef void conv_prepare_backward(
    const Convolution *c, const real *W, real *prepared, Py_ssize_t first, Py_ssize_t last,
    real *scratch,
) noexcept nogil

# The gradients for Z, W and b from the one for S; NULL: not computed. add_images: dZ is added to;
# add_parameters: dW and db are added to. IN: dS; Z; prepared, filters for dZ, or NULL; W, from
# which they are prepared in scratch if prepared is NULL and not c.reads_W. OUT: dZ, dW, db.
# SCRATCH: c.backward. No aliasing.
cdef void conv_backward_prepared(
    const Convolution *c, const real *dS, const real *Z, const real *W, const real *prepared,
    bint add_images, real *dZ, bint add_parameters, real *dW, real *db, real *scratch,
) noexcept nogil

# As conv_backward_prepared with prepared filters, or W if c.reads_W, which are only needed for dZ.
# Instead of dW: sum,
# which `add` adds to, and `conv_add_sums` converts to dW. OUT: dZ or NULL, sum or NULL.
# SCRATCH: c.backward.
cdef void conv_backward_sum(
    const Convolution *c, const real *dS, const real *Z, const real *prepared, bint add_images,
    real *dZ, bint add, real *sum, real *scratch,
) noexcept nogil

# dW of channels first to last - 1, or dW += if add, from n > 0 sums, added in their order. INOUT:
# sums (n, c.sum), of which these channels are overwritten. OUT: dW. SCRATCH: c.preparing.
cdef void conv_add_sums(
    const Convolution *c, real *sums, Py_ssize_t n, Py_ssize_t first, Py_ssize_t last, bint add,
    real *dW, real *scratch,
) noexcept nogil

# Elements of scratch of `conv_forward` or `conv_backward`; if guarded, for im2col as well. OUT:
# size. Returns a status.
cdef int conv_scratch(
    const Convolution *c, bint backward, bint guarded, Py_ssize_t *size
) noexcept nogil

# As conv_forward_prepared, with filters that are not prepared. If guarded, for all tiles only: the
# whole is computed again by im2col if S is not finite but Z, W and b are, since the transforms of
# finite values may overflow. SCRATCH: conv_scratch(c, False, guarded).
cdef void conv_forward(
    const Convolution *c, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last, real *scratch,
    bint guarded,
) noexcept nogil

# As conv_backward_prepared, with filters that are not prepared. If guarded, the whole is computed
# again by im2col if a gradient is not finite but its operands are.
# SCRATCH: conv_scratch(c, True, guarded).
cdef void conv_backward(
    const Convolution *c, const real *dS, const real *Z, const real *W, real *dZ, real *dW,
    real *db, real *scratch, bint guarded,
) noexcept nogil

# The adjoint of the convolution: S = sigma(P_phi' W' Z + b 1').
# IN: Z (l, b_out, a_out, d_out), W (d_g, h_b, h_a, d_out), b (d,) or NULL, valid activation or
# NULL. OUT: S (l, b, a, d). SCRATCH: conv_scratch(c, True, guarded). No aliasing.
cdef void transposed_forward(
    const Convolution *c, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S, real *scratch, bint guarded,
) noexcept nogil

# The gradients of the adjoint: dZ = W phi(dS), dW = sum_i Z^i phi(dS^i)', db = sum_i dS^i 1; NULL:
# not computed.
# IN: dS (l, b, a, d), Z, W. OUT: dZ, dW, db.
# SCRATCH: the maximum of conv_scratch(c, False, guarded) and conv_scratch(c, True, guarded).
cdef void transposed_backward(
    const Convolution *c, const real *dS, const real *Z, const real *W, real *dZ, real *dW,
    real *db, real *scratch, bint guarded,
) noexcept nogil
