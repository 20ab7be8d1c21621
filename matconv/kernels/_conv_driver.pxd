"""A convolution by either path, Winograd's or im2col: its plan, and the drivers that take it.

Filters are prepared first: transformed, or put into the tile's order.
"""

from ._activation cimport Activation
from ._geometry cimport Geometry
from ._types cimport real
from ._winograd cimport Winograd


# A convolution as it is computed. Made by `conv_plan`; a part of one by the functions below it.
# Sizes are elements.
cdef struct Convolution:
    Geometry g
    bint is_double
    bint by_winograd
    Winograd w                  # of Winograd's path
    Py_ssize_t row_W            # from one filter to the next in given W', of im2col's backward pass
    Py_ssize_t prepared, prepared_backward      # filters that are prepared for a pass
    Py_ssize_t preparing, preparing_backward    # scratch that preparing them takes
    Py_ssize_t forward          # scratch of the forward pass beside prepared filters
    Py_ssize_t backward         # scratch of the backward pass, also where it prepares them
    Py_ssize_t sum              # what `conv_backward_sum` makes: dW, or its transform


# Plan for g's images; by Winograd's path with tiles of m_b x m_a outputs, by im2col with 0 x 0, as
# `choose_tile` says. OUT: c. Returns a Status: ALGORITHM where there are no such transforms.
cdef int conv_plan(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a, Convolution *c
) noexcept nogil

# The same for another number of images, for which c.g must be valid too. INOUT: c.
cdef void conv_set_images(Convolution *c, Py_ssize_t l) noexcept nogil

# The rows first to last - 1 of the output of one image. OUT: part. Returns the row of the image at
# which its own begins; that of the gradient's is `first`.
cdef Py_ssize_t conv_band(
    const Convolution *c, Py_ssize_t first, Py_ssize_t last, Convolution *part
) noexcept nogil

# The channels first to last - 1 of the input of a convolution without groups: Z, dZ from channel
# `first` on, W, dW from row `first` h_b h_a. OUT: part. Returns whether the prepared filters of c,
# from element `first` on, are also those of the part, for the backward pass.
cdef bint conv_channels(
    const Convolution *c, Py_ssize_t first, Py_ssize_t last, Convolution *part
) noexcept nogil

# The filters first to last - 1 of a convolution without groups, for the forward pass without taps:
# S, b and the prepared filters from element `first` on. OUT: part.
cdef void conv_units(
    const Convolution *c, Py_ssize_t first, Py_ssize_t last, Convolution *part
) noexcept nogil

# Tiles, of phi or blocks of Winograd's, that the outputs are cut into.
cdef Py_ssize_t conv_tiles(const Convolution *c) noexcept nogil

# Whether two convolutions prepare the same filters to the same elements for the forward pass.
cdef bint conv_same_prepared(const Convolution *c, const Convolution *other) noexcept nogil

# IN: W. OUT: prepared. SCRATCH: c.preparing.
cdef void conv_prepare(
    const Convolution *c, const real *W, real *prepared, real *scratch
) noexcept nogil

# S = sigma(W phi(Z) + b 1') on tiles first to last - 1.
# IN: Z, prepared, b or NULL, a valid activation or NULL. OUT: S. SCRATCH: c.forward. No aliasing.
cdef void conv_forward_prepared(
    const Convolution *c, const real *Z, const real *prepared, const real *b,
    const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last, real *scratch,
) noexcept nogil

# What filters first to last - 1 are in the prepared ones for the backward pass; of few channels all
# of them with first = 0. IN: W. OUT: prepared. SCRATCH: c.preparing_backward.
cdef void conv_prepare_backward(
    const Convolution *c, const real *W, real *prepared, Py_ssize_t first, Py_ssize_t last,
    real *scratch,
) noexcept nogil

# The gradients for Z, W and b from the one for S; each may be NULL: not computed. With add_images
# the gradient for Z, with add_parameters those for W and b are added to what is there.
# IN: dS, Z, W, prepared: the filters for dZ, or NULL: made in scratch from W, which is only used
# for that. OUT: dZ, dW, db. SCRATCH: c.backward. No aliasing.
cdef void conv_backward_prepared(
    const Convolution *c, const real *dS, const real *Z, const real *W, const real *prepared,
    bint add_images, real *dZ, bint add_parameters, real *dW, real *db, real *scratch,
) noexcept nogil

# As conv_backward_prepared, of a part of the images with given W', which is only needed for dZ; in
# place of dW its sum, or added to one with `add`. OUT: dZ, sum, each or NULL.
# SCRATCH: c.backward.
cdef void conv_backward_sum(
    const Convolution *c, const real *dS, const real *Z, const real *prepared, bint add_images,
    real *dZ, bint add, real *sum, real *scratch,
) noexcept nogil

# dW of channels first to last - 1, or added to it with `add`, from n > 0 sums, c.sum elements
# apart, added in their order. INOUT: sums, of which these channels are overwritten. OUT: dW.
# SCRATCH: c.preparing.
cdef void conv_add_sums(
    const Convolution *c, real *sums, Py_ssize_t n, Py_ssize_t first, Py_ssize_t last, bint add,
    real *dW, real *scratch,
) noexcept nogil

# Elements of scratch that the functions below need for a pass: when guarded for im2col as well.
# OUT: size. Returns a Status.
cdef int conv_scratch(
    const Convolution *c, bint backward, bint guarded, Py_ssize_t *size
) noexcept nogil

# As conv_forward_prepared, with filters as they are. When guarded, on all tiles, and the whole
# again by im2col if S is not finite where Z, W and b are: the transforms of finite values may
# overflow.
# SCRATCH: conv_scratch(c, False, guarded).
cdef void conv_forward(
    const Convolution *c, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last, real *scratch,
    bint guarded,
) noexcept nogil

# As conv_backward_prepared without prepared filters. When guarded, the whole again by im2col if a
# gradient is not finite where what it is made of is. SCRATCH: conv_scratch(c, True, guarded).
cdef void conv_backward(
    const Convolution *c, const real *dS, const real *Z, const real *W, real *dZ, real *dW,
    real *db, real *scratch, bint guarded,
) noexcept nogil
