"""Checks of the array arguments of Python functions, before anything is computed."""

cimport numpy as cnp

# Return value as a C-contiguous, aligned, native float64 or float32 array of ndim dimensions (-1:
# any), with the dtype of `like` if that is given; without a copy if it already is one.
cdef cnp.ndarray as_input(str function, str name, object value, int ndim, cnp.ndarray like=*)

# Return the array to write to: `out`, of which shape, dtype, layout and overlap with `inputs`,
# pairs (name, value), are checked, or a new array if it is None.
cdef cnp.ndarray as_output(
    str function, str name, object out, tuple shape, cnp.ndarray like, tuple inputs
)

# Raise ValueError unless the array has this shape.
cdef int check_shape(str function, str name, cnp.ndarray array, tuple shape) except -1

# Return scratch of at least `size` elements: `scratch`, which is checked, or a new array. It must
# not overlap any of `others`, pairs (name, contiguous array or None).
cdef cnp.ndarray as_scratch(
    str function, object scratch, Py_ssize_t size, cnp.ndarray like, tuple others
)

# Keep an array that `as_scratch` made for the next call of this thread. IN: scratch, the argument
# of `as_scratch`; work, its result.
cdef int keep_scratch(object scratch, cnp.ndarray work) except -1


# The elements of an array; NULL for None.
cdef inline void *data(cnp.ndarray array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(array)
