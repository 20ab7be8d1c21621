"""Status codes, which compiled functions return since they cannot raise without the GIL."""

cdef extern from "matconv/types.h" nogil:
    enum:
        OK "MATCONV_OK"
        SIZE "MATCONV_SIZE"
        KERNEL "MATCONV_KERNEL"
        GROUPS "MATCONV_GROUPS"
        OVERFLOW "MATCONV_OVERFLOW"
        BLAS_INT "MATCONV_BLAS_INT"
        STRUCT "MATCONV_STRUCT"
        NULL_POINTER "MATCONV_NULL"
        SCRATCH "MATCONV_SCRATCH"
        ALGORITHM "MATCONV_ALGORITHM"
        PADDING "MATCONV_PADDING"
        INDEX "MATCONV_INDEX"
        DTYPE "MATCONV_DTYPE"
        FORMAT "MATCONV_FORMAT"
        VERSION "MATCONV_VERSION"
        MEMORY "MATCONV_MEMORY"
        UNREADABLE "MATCONV_UNREADABLE"
        ACTIVATION "MATCONV_ACTIVATION"
        INTERRUPTED "MATCONV_INTERRUPTED"
        LOSS "MATCONV_LOSS"
        TARGET "MATCONV_TARGET"
        DERIVATIVE "MATCONV_DERIVATIVE"


# The description of a status; a string for any integer.
cdef inline const char *status_string(int status) noexcept nogil:
    if status == OK:
        return b"success"
    if status == SIZE:
        return (
            b"a size is less than 1, the number of images or a padding is negative, or the number "
            b"of threads is not from 1 to 1024"
        )
    if status == KERNEL:
        return b"the (dilated) kernel is larger than the padded input"
    if status == GROUPS:
        return b"groups does not divide the channels or the filters"
    if status == OVERFLOW:
        return b"a size or a product of sizes overflows"
    if status == BLAS_INT:
        return b"a matrix dimension overflows the integer type of BLAS"
    if status == STRUCT:
        return b"struct_size does not match the library: the struct is not initialized"
    if status == NULL_POINTER:
        return b"a required pointer is NULL"
    if status == SCRATCH:
        return b"scratch_size is too small"
    if status == ALGORITHM:
        return b"unknown algorithm"
    if status == PADDING:
        return b"the padding of a pooling window is not smaller than the window"
    if status == INDEX:
        return b"an index is outside of the image, or there is no output with this index"
    if status == DTYPE:
        return b"the dtype of the network does not match"
    if status == FORMAT:
        return b"not an exported network, or a damaged one"
    if status == VERSION:
        return b"an exported network of another version of the format"
    if status == MEMORY:
        return b"out of memory"
    if status == UNREADABLE:
        return b"the file cannot be read"
    if status == ACTIVATION:
        return b"unknown activation, or invalid parameters for it"
    if status == INTERRUPTED:
        return b"stopped before the end"
    if status == LOSS:
        return (
            b"unknown loss, an invalid parameter for it, or the output has fewer elements than it "
            b"needs"
        )
    if status == TARGET:
        return b"a label, a target, a weight or the divisor is invalid, or there are two kinds"
    if status == DERIVATIVE:
        return b"the network or its loss does not have this derivative, or there is no loss"
    return b"unknown status"
