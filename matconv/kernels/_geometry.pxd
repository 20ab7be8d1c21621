"""The geometry of a window (a filter, a pooling window) that slides over images.

Every kernel takes a whole `Geometry`. The caller sets the first block of members; `geometry_init`
checks them and computes the second block.
"""

cdef extern from "matconv/types.h" nogil:
    ctypedef struct Geometry "matconv_geometry":
        size_t struct_size
        # set by the caller; notes' letters: a horizontal, b vertical, d channels, h kernel, s
        # stride
        Py_ssize_t l "images", b "height", a "width", d "channels"
        Py_ssize_t d_out "filters"        # for a pooling window: d
        Py_ssize_t groups
        Py_ssize_t h_b "kernel_height", h_a "kernel_width"
        Py_ssize_t s_b "stride_down", s_a "stride_right"
        Py_ssize_t top "pad_top", bottom "pad_bottom", left "pad_left", right "pad_right"
        Py_ssize_t dil_b "dilation_down", dil_a "dilation_right"
        # set by geometry_init
        Py_ssize_t b_out "out_height", a_out "out_width"
        Py_ssize_t d_g "group_channels", d_out_g "group_filters"
        Py_ssize_t K "column_length"      # h_b h_a d_g: rows of phi for the filters of a group
    # Stride, dilation and groups 1, everything else 0. OUT: g.
    void geometry_default "matconv_geometry_default"(Geometry *g) noexcept


# Check the first block, compute the second. INOUT: g. Returns a status; O(1).
cdef int geometry_init(Geometry *g) noexcept nogil

# The length of the images of a convolution with n outputs, for n >= 1:
#     stride (n - 1) + (h - 1) dilation + 1 - before - after + extra,  0 <= extra < stride.
# OUT: length. Returns a status.
cdef int transposed_length(
    Py_ssize_t n, Py_ssize_t h, Py_ssize_t stride, Py_ssize_t before, Py_ssize_t after,
    Py_ssize_t dilation, Py_ssize_t extra, Py_ssize_t *length,
) noexcept nogil

# *product = x y. Returns true, with product unchanged, if x y overflows. IN: x, y >= 0.
cdef bint mul_overflows(Py_ssize_t x, Py_ssize_t y, Py_ssize_t *product) noexcept nogil


cdef class WindowGeometry:
    cdef object __weakref__
    cdef Geometry c
    cdef readonly str function      # the first word of every error message
    cdef readonly str kernel_name   # the name of the kernel in error messages
    # The same window on l images. OUT: g. Raises as __init__ does.
    cdef int for_images(self, Py_ssize_t l, Geometry *g) except -1
