"""Sizes and costs that depend on the BLAS kernel."""


# Of one dtype. The sizes of blocks and tiles are maxima of near-equal parts unless they are called
# minimum.
cdef struct Tuning:
    # a product is divided into blocks of at most so many rows, inner elements and multiply-adds
    Py_ssize_t product_rows, product_inner, product_multiply_adds
    # maximum number of columns of a product that BLAS does not compute
    Py_ssize_t columns
    # whether BLAS multiplies by a transposed matrix as fast as by one that is not
    bint transposes
    # elements and columns of a tile of phi
    Py_ssize_t phi_elements, min_phi_columns, max_phi_columns
    # minimum of columns where a tile reads W from memory, or reads and writes dW
    Py_ssize_t min_phi_columns_large
    # tiles of a block by Winograd's algorithm, and minimum for a piece of a pass
    Py_ssize_t min_tiles, max_tiles, min_piece_tiles
    # costs in multiply-adds of a product: see `_algorithms`
    double gather, gather_row, transform, call, filters, stream


# The tuning that is in use for double or single precision; it does not change after import.
cdef const Tuning *tuning_of(bint is_double) noexcept nogil
