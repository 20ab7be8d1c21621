"""Sizes of windows that slide over images, checked for Python, C and programs."""

from ._status cimport OK, SIZE, KERNEL, GROUPS, OVERFLOW, BLAS_INT

from ._sizes import as_padding, as_pair, as_shape, as_size

cdef extern from "limits.h":
    const int INT_MAX
cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX


cdef bint mul_overflows(Py_ssize_t x, Py_ssize_t y, Py_ssize_t *product) noexcept nogil:
    if y != 0 and x > PY_SSIZE_T_MAX // y:
        return True
    product[0] = x * y
    return False


cdef bint add_overflows(Py_ssize_t x, Py_ssize_t y, Py_ssize_t *total) noexcept nogil:
    if x > PY_SSIZE_T_MAX - y:
        return True
    total[0] = x + y
    return False


cdef int output_length(
    Py_ssize_t n, Py_ssize_t before, Py_ssize_t after, Py_ssize_t h, Py_ssize_t stride,
    Py_ssize_t dilation, Py_ssize_t *length,
) noexcept nogil:
    # length = floor((n + before + after - ((h-1) dilation + 1)) / stride) + 1; a negative numerator
    # is an error, which the division in C would truncate to 0
    cdef Py_ssize_t padded = 0, extent = 0
    if add_overflows(n, before, &padded) or add_overflows(padded, after, &padded):
        return OVERFLOW
    if mul_overflows(h - 1, dilation, &extent) or add_overflows(extent, 1, &extent):
        return OVERFLOW
    if extent > padded:
        return KERNEL
    length[0] = (padded - extent) // stride + 1
    return OK


cdef int transposed_length(
    Py_ssize_t n, Py_ssize_t h, Py_ssize_t stride, Py_ssize_t before, Py_ssize_t after,
    Py_ssize_t dilation, Py_ssize_t extra, Py_ssize_t *length,
) noexcept nogil:
    cdef Py_ssize_t full = 0, extent = 0
    if n < 1 or h < 1 or stride < 1 or before < 0 or after < 0 or dilation < 1:
        return SIZE
    if not 0 <= extra < stride:
        return SIZE
    if h > 1 and mul_overflows(h - 1, dilation, &extent):
        return OVERFLOW
    if mul_overflows(n - 1, stride, &full) or add_overflows(full, extent, &full):
        return OVERFLOW
    if add_overflows(full, extra + 1, &full):
        return OVERFLOW
    # without a sum of before and after, which may overflow
    if before >= full or after >= full - before:
        return KERNEL
    length[0] = full - before - after
    return OK


cdef bint elements_overflow(
    Py_ssize_t l, Py_ssize_t b, Py_ssize_t a, Py_ssize_t d
) noexcept nogil:
    # whether the number of bytes of l x b x a x d doubles overflows
    cdef Py_ssize_t total = 0
    return (
        mul_overflows(b, a, &total)
        or mul_overflows(total, d, &total)
        or mul_overflows(total, 8, &total)
        or mul_overflows(total, l, &total)
    )


cdef int geometry_init(Geometry *g) noexcept nogil:
    cdef int status
    if g.l < 0 or g.b < 1 or g.a < 1 or g.d < 1 or g.d_out < 1 or g.groups < 1:
        return SIZE
    if g.h_b < 1 or g.h_a < 1 or g.s_b < 1 or g.s_a < 1 or g.dil_b < 1 or g.dil_a < 1:
        return SIZE
    if g.top < 0 or g.bottom < 0 or g.left < 0 or g.right < 0:
        return SIZE
    if g.d % g.groups != 0 or g.d_out % g.groups != 0:
        return GROUPS
    # the dilation of a single row or column has no effect and may be arbitrarily large
    if g.h_b == 1:
        g.dil_b = 1
    if g.h_a == 1:
        g.dil_a = 1
    status = output_length(g.b, g.top, g.bottom, g.h_b, g.s_b, g.dil_b, &g.b_out)
    if status == OK:
        status = output_length(g.a, g.left, g.right, g.h_a, g.s_a, g.dil_a, &g.a_out)
    if status != OK:
        return status
    g.d_g = g.d // g.groups
    g.d_out_g = g.d_out // g.groups
    if (
        elements_overflow(g.l, g.b, g.a, g.d)
        or elements_overflow(g.l, g.b_out, g.a_out, g.d_out)
        or elements_overflow(g.d_out, g.h_b, g.h_a, g.d_g)
    ):
        return OVERFLOW
    g.K = g.h_b * g.h_a * g.d_g
    # d, d_out and K are leading dimensions and inner sizes of the products
    if g.d > INT_MAX or g.d_out > INT_MAX or g.K > INT_MAX:
        return BLAS_INT
    return OK


def window_sizes(
    str function, kernel, stride=1, pad=0, dilation=1, groups=1, channels=None,
    str kernel_name="kernel",
):
    """Return the sizes of a window in full, checked as far as possible without images.

    Parameters
    ----------
    function, kernel, stride, pad, dilation, groups, channels, kernel_name
        As for `WindowGeometry`.

    Returns
    -------
    kernel, stride, pad, dilation, groups, channels : tuple
        (height, width), ((top, bottom), (left, right)), int, or int or None.

    Raises
    ------
    TypeError, ValueError, OverflowError

    Examples
    --------
    >>> from matconv.kernels._geometry import window_sizes
    >>> window_sizes("conv2d", 3, pad=[1, 2])
    ((3, 3), (1, 1), ((1, 1), (2, 2)), (1, 1), 1, None)
    """
    cdef Geometry g
    geometry_default(&g)
    g.b = g.a = g.d = g.d_out = 1
    if channels is not None:
        channels = g.d_out = as_size(function, "channels", channels)
    read_window(function, kernel_name, kernel, stride, pad, dilation, groups, &g)
    problem = bad_size(kernel_name, &g)
    if problem is not None:
        raise ValueError(f"{function}: {problem}")
    if channels is not None and g.d_out % g.groups != 0:
        raise ValueError(
            f"{function}: groups {g.groups} must divide the {g.d_out} output channels"
        )
    return (
        (g.h_b, g.h_a), (g.s_b, g.s_a), ((g.top, g.bottom), (g.left, g.right)),
        (g.dil_b, g.dil_a), g.groups, channels,
    )


def check_pool_padding(str function, window, pad):
    """Raise ValueError unless each pooling window contains a pixel of the image.

    Parameters
    ----------
    function : str
        The first word of the error message.
    window : (height, width)
    pad : ((top, bottom), (left, right))
    """
    if any(side >= h for h, sides in zip(window, pad) for side in sides):
        raise ValueError(
            f"{function}: pad {pad} must be smaller than the window ({window[0]} x {window[1]})"
        )


cdef int read_window(
    str function, str kernel_name, kernel, stride, pad, dilation, groups, Geometry *g
) except -1:
    g.groups = as_size(function, "groups", groups)
    g.h_b, g.h_a = as_pair(function, kernel_name, kernel)
    g.s_b, g.s_a = as_pair(function, "stride", stride)
    g.dil_b, g.dil_a = as_pair(function, "dilation", dilation)
    (g.top, g.bottom), (g.left, g.right) = as_padding(function, pad)
    return 0


cdef class WindowGeometry:
    """Checked sizes of a window that slides over images, as the kernels take them.

    Parameters
    ----------
    function : str
        The first word of every error message.
    shape : (l, b, a, d)
        Images, height, width, channels; ``l`` may be 0.
    kernel, stride, dilation : int or (height, width)
    pad : int, (height, width) or ((top, bottom), (left, right))
    groups : int
    channels : int, optional
        Output channels (filters); by default the channels of the input.
    kernel_name : str
        The name of the kernel in error messages.

    Raises
    ------
    TypeError, ValueError, OverflowError
        The message has the function, the argument, its value and what was expected.

    Notes
    -----
    b_out and a_out of the notes are ``floor((n + pad - ((h - 1) dilation + 1)) / stride) + 1``.

    Examples
    --------
    >>> from matconv.kernels._geometry import WindowGeometry
    >>> WindowGeometry("conv2d", (2, 28, 28, 1), 5, channels=20).out_shape
    (2, 24, 24, 20)
    """

    def __init__(
        self, str function, shape, kernel, stride=1, pad=0, dilation=1, groups=1, channels=None,
        str kernel_name="kernel",
    ):
        cdef Geometry *g = &self.c
        self.function = function
        self.kernel_name = kernel_name
        g.l, g.b, g.a, g.d = as_shape(function, shape)
        g.d_out = g.d if channels is None else as_size(function, "channels", channels)
        read_window(function, kernel_name, kernel, stride, pad, dilation, groups, g)
        raise_status(function, kernel_name, geometry_init(g), g)

    def __reduce__(self):
        return type(self), self._arguments()

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return self._arguments() == (<WindowGeometry> other)._arguments()

    def __hash__(self):
        return hash(self._arguments())

    def _arguments(self):
        return (
            self.function, self.shape, self.kernel, self.stride, self.pad, self.dilation,
            self.groups, self.c.d_out, self.kernel_name,
        )

    cdef int for_images(self, Py_ssize_t l, Geometry *g) except -1:
        g[0] = self.c
        g.l = l
        raise_status(self.function, self.kernel_name, geometry_init(g), g)
        return 0

    def with_images(self, l):
        """Return the same window on l images."""
        function, shape, *rest = self._arguments()
        return WindowGeometry(function, (l, *shape[1:]), *rest)

    @property
    def shape(self):
        """(l, b, a, d) of the input."""
        return self.c.l, self.c.b, self.c.a, self.c.d

    @property
    def out_shape(self):
        """(l, b_out, a_out, d_out) of the output."""
        return self.c.l, self.c.b_out, self.c.a_out, self.c.d_out

    @property
    def kernel(self):
        """(height, width)."""
        return self.c.h_b, self.c.h_a

    @property
    def stride(self):
        """(down, right)."""
        return self.c.s_b, self.c.s_a

    @property
    def dilation(self):
        """(down, right)."""
        return self.c.dil_b, self.c.dil_a

    @property
    def pad(self):
        """((top, bottom), (left, right))."""
        return (self.c.top, self.c.bottom), (self.c.left, self.c.right)

    @property
    def groups(self):
        """Number of groups."""
        return self.c.groups

    @property
    def filter_shape(self):
        """(d/groups, h_b, h_a, d_out), the shape of W."""
        return self.c.d_g, self.c.h_b, self.c.h_a, self.c.d_out


cdef raise_status(str function, str kernel_name, int status, const Geometry *g):
    if status == OK:
        return
    if status == SIZE:
        raise ValueError(f"{function}: {bad_size(kernel_name, g)}")
    if status == KERNEL:
        # <object>: as Python integers, since the sizes in the other direction may overflow
        padded = f"{<object> g.b + g.top + g.bottom} x {<object> g.a + g.left + g.right}"
        kernel = f"{g.h_b} x {g.h_a}"
        if g.dil_b > 1 or g.dil_a > 1:
            extents = [
                (<object> h - 1) * dilation + 1
                for h, dilation in ((g.h_b, g.dil_b), (g.h_a, g.dil_a))
            ]
            kernel += f", dilated {extents[0]} x {extents[1]}"
        raise ValueError(
            f"{function}: padded input ({padded}) is smaller than the {kernel_name} ({kernel})"
        )
    if status == GROUPS:
        raise ValueError(
            f"{function}: groups {g.groups} must divide the {g.d} input channels "
            f"and the {g.d_out} output channels"
        )
    sizes = (
        f"images {g.l}, input {g.b} x {g.a} x {g.d}, {kernel_name} {g.h_b} x {g.h_a}, "
        f"pad (({g.top}, {g.bottom}), ({g.left}, {g.right})), output channels {g.d_out}"
    )
    if status == OVERFLOW:
        raise OverflowError(f"{function}: the sizes overflow ({sizes})")
    raise OverflowError(
        f"{function}: a matrix dimension exceeds the integers of BLAS, {INT_MAX} ({sizes})"
    )


cdef str bad_size(str kernel_name, const Geometry *g):
    # a description of the first size that is out of range by itself, or None
    for name, minimum, values in (
        ("the number of images", 0, (g.l,)),
        ("input height and width", 1, (g.b, g.a)),
        ("input channels", 1, (g.d,)),
        ("output channels", 1, (g.d_out,)),
        ("groups", 1, (g.groups,)),
        (f"{kernel_name} height and width", 1, (g.h_b, g.h_a)),
        ("stride", 1, (g.s_b, g.s_a)),
        ("dilation", 1, (g.dil_b, g.dil_a)),
        ("pad", 0, (g.top, g.bottom, g.left, g.right)),
    ):
        if min(values) < minimum:
            got = (" x " if len(values) == 2 else ", ").join(map(str, values))
            return f"{name} must be at least {minimum}, got {got}"
    return None
