"""The geometry of a window (a filter, a pooling window) that slides over images.

`Geometry` is what every kernel takes, whole. Its first block is given, its second block is
derived, and `geometry_init` is the one place that checks the first and fills the second.
"""

cdef extern from "matconv/types.h" nogil:
    ctypedef struct Geometry "matconv_geometry":
        size_t struct_size
        # given, in the notes' letters: a is horizontal, b vertical, d channels, h kernel, s stride
        Py_ssize_t l "images", b "height", a "width", d "channels"
        Py_ssize_t d_out "filters"        # for a pooling window: d
        Py_ssize_t groups
        Py_ssize_t h_b "kernel_height", h_a "kernel_width"
        Py_ssize_t s_b "stride_down", s_a "stride_right"
        Py_ssize_t top "pad_top", bottom "pad_bottom", left "pad_left", right "pad_right"
        Py_ssize_t dil_b "dilation_down", dil_a "dilation_right"
        # derived
        Py_ssize_t b_out "out_height", a_out "out_width"
        Py_ssize_t d_g "group_channels", d_out_g "group_filters"
        Py_ssize_t K "column_length"      # h_b h_a d_g: rows of phi for the filters of a group
    # stride, dilation and groups 1, everything else 0
    void geometry_default "matconv_geometry_default"(Geometry *g) noexcept


# Check what is given, fill what is derived. INOUT: g. Returns a Status; O(1).
cdef int geometry_init(Geometry *g) noexcept nogil

# x*y into *product; 1 when it does not fit. IN: x, y >= 0. OUT: product.
cdef bint mul_overflows(Py_ssize_t x, Py_ssize_t y, Py_ssize_t *product) noexcept nogil


cdef class WindowGeometry:
    cdef object __weakref__
    cdef Geometry c
    cdef readonly str function      # who asks: the first word of every error message
    cdef readonly str kernel_name   # what error messages call the kernel
    cdef int for_images(self, Py_ssize_t l, Geometry *g) except -1
