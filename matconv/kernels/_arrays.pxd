"""The Python edge: every argument is checked here before anything is computed."""

cimport numpy as cnp

# value as a C-contiguous, aligned, native float64 or float32 array of ndim dimensions (-1: any),
# of the dtype of `like` when that is given; the array itself whenever it already is one.
cdef cnp.ndarray as_input(str function, str name, object value, int ndim, cnp.ndarray like=*)

# the array to write into: `out` checked (shape, dtype, layout, no overlap), or a new one.
cdef cnp.ndarray as_output(
    str function, str name, object out, tuple shape, cnp.ndarray like, tuple inputs
)

# raises unless the array has this shape.
cdef int check_shape(str function, str name, cnp.ndarray array, tuple shape) except -1

# scratch of at least `size` numbers: `scratch` checked, or a new one. `others`: (name, array or
# None) of every array that the kernel gets, contiguous, which it must not overlap.
cdef cnp.ndarray as_scratch(
    str function, object scratch, Py_ssize_t size, cnp.ndarray like, tuple others
)

# Give back what `as_scratch(..., scratch, ...)` gave: this thread's next call may have it.
cdef int keep_scratch(object scratch, cnp.ndarray work) except -1
