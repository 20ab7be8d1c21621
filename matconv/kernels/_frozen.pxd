"""Frozen networks: programs with prepared parameters.

Contracts without a comment are those of ``matconv/table.h``.
"""

from ._program cimport Program

cdef extern from "matconv/types.h" nogil:
    # opaque; points to a `Net`
    ctypedef struct Frozen "matconv_network":
        pass
    ctypedef struct Shape "matconv_network_shape":
        size_t struct_size
        Py_ssize_t b "height", a "width", d "channels"
        Py_ssize_t b_out "out_height", a_out "out_width", d_out "out_channels"
        Py_ssize_t item_size


# An opened network.
cdef struct Net:
    Program *program
    Py_ssize_t max_batch    # maximum number of images of a batch
    void *parameters        # prepared parameters, and those that are not prepared


# Read a file into new memory. OUT: data, to be freed by PyMem_RawFree also after an error, and its
# size. Returns OK, NULL_POINTER, UNREADABLE or MEMORY.
cdef int read_file(const char *path, void **data, size_t *size) noexcept nogil

# network_open.
cdef int frozen_open(const char *path, Frozen **network) noexcept nogil

# network_open_memory.
cdef int frozen_open_memory(const void *data, size_t size, Frozen **network) noexcept nogil

# network_close.
cdef void frozen_close(Frozen *network) noexcept nogil

# network_outputs.
cdef int frozen_outputs(const Frozen *network, Py_ssize_t *outputs) noexcept nogil

# network_get_shape.
cdef int frozen_shape(const Frozen *network, Py_ssize_t output, Shape *shape) noexcept nogil

# Whether an output is a vector, such as that of a dense layer.
cdef bint frozen_is_vector(const Frozen *network, Py_ssize_t output) noexcept nogil
