"""Checks of the array arguments of Python functions, before anything is computed."""

import threading

import numpy as np

cimport numpy as cnp

cnp.import_array()

_DTYPES = (np.float64, np.float32)


def _shape_text(shape):
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


cdef bint is_plain(cnp.ndarray array) noexcept:
    # C-contiguous, aligned and native, as the kernels read arrays
    return cnp.PyArray_ISCARRAY_RO(array)


def refuse_masked(str function, str name, value):
    """Raise TypeError for a masked array, whose mask would be ignored."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{function}: {name} is a masked array; fill it or drop the mask first")


def as_array(str function, str name, value):
    """Return `value` as an ndarray of float64 or float32, with any layout."""
    refuse_masked(function, name, value)
    if value is None or isinstance(value, (str, bytes)):
        raise TypeError(
            f"{function}: {name} must be an array of float64 or float32, got {value!r}"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{function}: {name} is not an array: {error}") from None
    if array.dtype.type not in _DTYPES:
        raise TypeError(f"{function}: {name} must be float64 or float32, got {array.dtype}")
    return array


def is_ready(value, cnp.dtype dtype, tuple shape):
    """Return whether a value is an ndarray that kernels can read without a copy.

    Parameters
    ----------
    value : object
    dtype : dtype
    shape : tuple
        Expected shape; None stands for any size.
    """
    cdef cnp.ndarray array
    cdef int axis
    if type(value) is not cnp.ndarray:
        return False
    array = value
    if cnp.PyArray_TYPE(array) != dtype.type_num or not is_plain(array):
        return False
    if cnp.PyArray_NDIM(array) != len(shape):
        return False
    for axis in range(cnp.PyArray_NDIM(array)):
        if shape[axis] is not None and cnp.PyArray_DIM(array, axis) != shape[axis]:
            return False
    return True


def contiguous(cnp.ndarray array):
    """Return an array of float64 or float32 as the kernels read arrays, copied if necessary."""
    if is_plain(array):
        return array
    return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])


cdef cnp.ndarray as_input(str function, str name, object value, int ndim, cnp.ndarray like=None):
    cdef cnp.ndarray array
    cdef int kind
    if type(value) is not cnp.ndarray:
        value = as_array(function, name, value)
    array = value
    kind = cnp.PyArray_TYPE(array)
    if kind != cnp.NPY_DOUBLE and kind != cnp.NPY_FLOAT:
        raise TypeError(f"{function}: {name} must be float64 or float32, got {array.dtype}")
    if like is not None and kind != cnp.PyArray_TYPE(like):
        raise TypeError(
            f"{function}: {name} is {array.dtype.newbyteorder('=')} where {like.dtype} was "
            "expected; all arrays of a call have one dtype"
        )
    if ndim >= 0 and cnp.PyArray_NDIM(array) != ndim:
        raise ValueError(
            f"{function}: {name} must have {ndim} dimensions, got shape "
            f"{_shape_text(value.shape)}"
        )
    if not is_plain(array):
        array = np.require(array, array.dtype.newbyteorder("="), ["C", "A"])
    return array


cdef int check_shape(str function, str name, cnp.ndarray array, tuple shape) except -1:
    cdef int axis
    cdef bint same = cnp.PyArray_NDIM(array) == len(shape)
    if same:
        for axis in range(cnp.PyArray_NDIM(array)):
            if cnp.PyArray_DIM(array, axis) != shape[axis]:
                same = False
    if not same:
        raise ValueError(
            f"{function}: {name} must have shape {_shape_text(shape)}, got "
            f"{_shape_text((<object> array).shape)}"
        )
    return 0


cdef cnp.ndarray as_output(
    str function, str name, object out, tuple shape, cnp.ndarray like, tuple inputs
):
    cdef cnp.ndarray array
    if out is None:
        return np.empty(shape, like.dtype)
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{function}: {name} must be an ndarray, got {type(out).__name__}")
    array = out
    if out.dtype != like.dtype:
        raise TypeError(
            f"{function}: {name} is {out.dtype} where {like.dtype} was expected; "
            "all arrays of a call have one dtype"
        )
    check_shape(function, name, array, shape)
    if not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError(f"{function}: {name} is read-only")
    if not is_plain(array):
        raise ValueError(f"{function}: {name} must be C-contiguous and aligned")
    for other_name, other in inputs:
        if other is not None and np.shares_memory(array, other):
            raise ValueError(f"{function}: {name} overlaps {other_name}")
    return array


# New memory, which the system has to clear, costs more than a tenth of the time of a large call. So
# each thread keeps one buffer for calls without scratch. A call removes it while it uses it.
_kept = threading.local()
_KEPT_BYTES = 1 << 27


cdef cnp.ndarray spare_scratch(Py_ssize_t size, dtype):
    cdef Py_ssize_t nbytes = size * dtype.itemsize
    buffer = _kept.__dict__.pop("buffer", None)
    if buffer is None or buffer.nbytes < nbytes:
        buffer = np.empty(nbytes, np.uint8)
    return buffer[:nbytes].view(dtype)


cdef int keep_scratch(object scratch, cnp.ndarray work) except -1:
    cdef object buffer
    if scratch is None:
        # the call has written its results and must not fail
        try:
            buffer = (<object> work).base
            if buffer.nbytes <= _KEPT_BYTES:
                _kept.buffer = buffer
        except MemoryError:
            pass
    return 0


cdef bint overlap(cnp.ndarray one, cnp.ndarray other) noexcept:
    # whether contiguous arrays overlap
    cdef char *p = <char *> cnp.PyArray_DATA(one)
    cdef char *q = <char *> cnp.PyArray_DATA(other)
    return max(p, q) < min(p + cnp.PyArray_NBYTES(one), q + cnp.PyArray_NBYTES(other))


cdef cnp.ndarray as_scratch(
    str function, object scratch, Py_ssize_t size, cnp.ndarray like, tuple others
):
    cdef cnp.ndarray array
    if scratch is None:
        return spare_scratch(size, like.dtype)
    array = as_input(function, "scratch", scratch, 1, like)
    if array is not scratch or not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError(f"{function}: scratch must be a contiguous, writable array")
    if cnp.PyArray_SIZE(array) < size:
        raise ValueError(
            f"{function}: scratch must have at least {size} elements, got {array.size}"
        )
    for name, other in others:
        if other is not None and overlap(array, other):
            raise ValueError(f"{function}: scratch overlaps {name}")
    return array
