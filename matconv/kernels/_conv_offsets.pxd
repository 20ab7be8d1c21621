"""Convolution of images with few channels: phi is read from the image itself, not gathered.

With one or three channels a column of phi has few elements, so that gathering it and packing it in
BLAS take longer than the product. Here element k of the column of a pixel is offsets[k] elements
after the first one in the image. A band of rows, with its padding, is copied if there is padding.
"""

from ._activation cimport Activation
from ._geometry cimport Geometry
from ._types cimport real


# Whether this is faster than tiles of phi. It depends on neither the number of images nor the rows
# or filters of a part of the work.
cdef bint offsets_pay(const Geometry *g) noexcept nogil

# Elements of scratch.
cdef Py_ssize_t offsets_scratch(const Geometry *g) noexcept nogil

# S = sigma(W phi(Z) + b 1') on output rows first to last - 1, counted through all images.
# IN: Z, W_tile (K, d_out) in the order of a tile, b (d_out,) or NULL, activation or NULL. OUT: S.
# SCRATCH: offsets_scratch elements. No aliasing. Requires `offsets_pay`.
cdef void offsets_forward(
    const Geometry *g, const real *Z, const real *W_tile, const real *b,
    const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last, real *scratch,
) noexcept nogil

# dW = sum_i dS^i phi(Z^i)', or += if add. IN: dS, Z. OUT: dW_tile (K, d_out) in the order of a
# tile. SCRATCH: as `offsets_forward`.
cdef void offsets_filters(
    const Geometry *g, const real *dS, const real *Z, bint add, real *dW_tile, real *scratch
) noexcept nogil
