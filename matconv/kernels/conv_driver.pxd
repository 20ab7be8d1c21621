"""A convolution by either path: with tiles of m_b x m_a outputs, Winograd's; with 0 x 0, im2col.

What `choose_tile` says. Filters are prepared first: transformed, or put into the tile's order.
"""

from ._activation cimport Activation
from .geometry cimport Geometry
from .types cimport real


# Numbers of scratch that either pass needs (OUT: size), the prepared filters' included.
# Returns a Status.
cdef int conv_scratch(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a, bint backward,
    Py_ssize_t *size,
) noexcept nogil

# Pieces that the outputs of g.l images can be cut into.
cdef Py_ssize_t conv_pieces(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a
) noexcept nogil

# S = sigma(W phi(Z) + b 1') on pieces first to last - 1.
# IN: Z, W, b or NULL, a valid activation or NULL. OUT: S. SCRATCH: conv_scratch(..., False).
# No aliasing.
cdef void conv_forward(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *Z, const real *W,
    const real *b, const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last,
    real *scratch,
) noexcept nogil

# The gradients for Z, W and b from the one for S; each may be NULL: not computed.
# IN: dS, Z, W. OUT: dZ, dW, db. SCRATCH: conv_scratch(..., True). No aliasing.
cdef void conv_backward(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *dS, const real *Z,
    const real *W, real *dZ, real *dW, real *db, real *scratch,
) noexcept nogil

# As conv_forward; when guarded, on all pieces, and the whole again by im2col if S is not finite
# where Z, W and b are: the transforms of finite values may overflow. SCRATCH: for either path.
cdef void conv_forward_guarded(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *Z, const real *W,
    const real *b, const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last,
    real *scratch, bint guarded,
) noexcept nogil

# As conv_backward; when guarded, the whole again by im2col if a gradient is not finite where what
# it is made of is. SCRATCH: for either path.
cdef void conv_backward_guarded(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *dS, const real *Z,
    const real *W, real *dZ, real *dW, real *db, real *scratch, bint guarded,
) noexcept nogil

# Numbers of the prepared filters (OUT: filters), and of the scratch beside them (OUT: scratch).
# Returns a Status.
cdef int conv_prepared_sizes(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a, Py_ssize_t *filters,
    Py_ssize_t *scratch,
) noexcept nogil

# Numbers of scratch that preparing takes: at most what conv_prepared_sizes says.
cdef Py_ssize_t conv_prepare_scratch(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a
) noexcept nogil

# IN: W. OUT: prepared. SCRATCH: conv_prepare_scratch(...).
cdef void conv_prepare(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *W, real *prepared, real *scratch
) noexcept nogil

# Numbers of the filters that are prepared for the backward pass (OUT: filters), and of the scratch
# that preparing them takes (OUT: scratch).
cdef void conv_prepared_backward_sizes(
    const Geometry *g, bint is_double, Py_ssize_t m_b, Py_ssize_t m_a, Py_ssize_t *filters,
    Py_ssize_t *scratch,
) noexcept nogil

# IN: W. OUT: prepared, for `conv_backward_prepared`. SCRATCH: conv_prepared_backward_sizes.
cdef void conv_prepare_backward(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *W, real *prepared, real *scratch
) noexcept nogil

# As conv_backward; `prepared` are the filters for dZ, or NULL: made in scratch from W, which is
# only used for that. With add_images the gradient for Z, with add_parameters those for W and b
# are added to what is there.
cdef void conv_backward_prepared(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *dS, const real *Z,
    const real *W, const real *prepared, bint add_images, real *dZ, bint add_parameters, real *dW,
    real *db, real *scratch,
) noexcept nogil

# As conv_forward, for filters that are prepared.
cdef void conv_forward_prepared(
    const Geometry *g, Py_ssize_t m_b, Py_ssize_t m_a, const real *Z, const real *prepared,
    const real *b, const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last,
    real *scratch,
) noexcept nogil
