"""A frozen network: a program, and its parameters as the kernels want them.

``include/matconv/types.h`` has the contract of each function.
"""

from ._program cimport Program

cdef extern from "matconv/types.h" nogil:
    # opaque: `Net`
    ctypedef struct Frozen "matconv_network":
        pass
    ctypedef struct Shape "matconv_network_shape":
        size_t struct_size
        Py_ssize_t b "height", a "width", d "channels"
        Py_ssize_t b_out "out_height", a_out "out_width", d_out "out_channels"
        Py_ssize_t item_size


# What an opened network is.
cdef struct Net:
    Program *program
    Py_ssize_t at_once      # images
    void *numbers           # prepared parameters, and those that are used as they are


cdef int frozen_open(const char *path, Frozen **network) noexcept nogil

cdef int frozen_open_memory(const void *data, size_t size, Frozen **network) noexcept nogil

cdef void frozen_close(Frozen *network) noexcept nogil

cdef int frozen_outputs(const Frozen *network, Py_ssize_t *outputs) noexcept nogil

cdef int frozen_shape(const Frozen *network, Py_ssize_t output, Shape *shape) noexcept nogil

# Whether an output is a vector for each image, as a dense layer's.
cdef bint frozen_is_vector(const Frozen *network, Py_ssize_t output) noexcept nogil
