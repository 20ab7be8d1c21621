"""What a driver returns. A driver cannot raise: it runs without the GIL."""

cdef enum Status:
    OK = 0
    # a size that must be at least 1 is not, or a padding is negative
    SIZE = 1
    # the padded input is smaller than the (dilated) kernel
    KERNEL = 2
    # groups do not divide the channels or the filters
    GROUPS = 3
    # a size or a product of sizes does not fit Py_ssize_t
    OVERFLOW = 4
    # a matrix dimension does not fit the integers of BLAS
    BLAS_INT = 5
