"""Sizes in full, from what Python functions take: integers, pairs, padding, shapes of images."""

from operator import index

import numpy as np

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX


def as_size(str function, str name, value, expected="an integer"):
    """Return `value` as a Python int in the range of Py_ssize_t.

    Anything with ``__index__`` is valid, also a 0-d array, except bool and masked arrays.
    """
    size = None
    if not isinstance(value, (bool, np.ma.MaskedArray)):
        try:
            size = index(value)
        except TypeError:
            pass
    if size is None:
        raise TypeError(
            f"{function}: {name} must be {expected}, got {value!r} ({type(value).__name__})"
        )
    if not -PY_SSIZE_T_MAX <= size <= PY_SSIZE_T_MAX:
        raise OverflowError(f"{function}: {name} {size} does not fit a signed 64-bit size")
    return size


def is_sequence(value):
    """Return whether `value` is an ordered sequence, such as a list, a tuple or an array."""
    # the order of a set is arbitrary, a dict gives its keys, a masked array hides elements
    if isinstance(value, (str, bytes, set, frozenset, dict, np.ma.MaskedArray)):
        return False
    try:
        len(value)
    except TypeError:
        return False
    return True


def as_pair(str function, str name, value):
    """Return (height, width) from an integer or a pair of integers."""
    expected = "an integer or a pair (height, width)"
    if not is_sequence(value):
        size = as_size(function, name, value, expected)
        return size, size
    if len(value) != 2:
        raise ValueError(f"{function}: {name} must be {expected}, got length {len(value)}")
    return tuple([as_size(function, name, entry, expected) for entry in value])


def as_padding(str function, value, str name="pad"):
    """Return ((top, bottom), (left, right)) from an integer, a pair (height, width) or all four."""
    expected = "an integer, a pair (height, width) or ((top, bottom), (left, right))"
    if not is_sequence(value):
        size = as_size(function, name, value, expected)
        return (size, size), (size, size)
    if len(value) != 2:
        raise ValueError(f"{function}: {name} must be {expected}, got length {len(value)}")
    sides = []
    for entry in value:
        if is_sequence(entry):
            if len(entry) != 2:
                raise ValueError(f"{function}: {name} must be {expected}, got {value!r}")
            sides.append(tuple([as_size(function, name, side, expected) for side in entry]))
        else:
            size = as_size(function, name, entry, expected)
            sides.append((size, size))
    return tuple(sides)


def as_shape(str function, shape):
    """Return (images, height, width, channels) as Python ints."""
    expected = "(images, height, width, channels)"
    if not is_sequence(shape):
        raise TypeError(
            f"{function}: shape must be {expected}, got {shape!r} ({type(shape).__name__})"
        )
    if len(shape) != 4:
        raise ValueError(f"{function}: shape must be {expected}, got {shape!r}")
    return tuple([as_size(function, "shape", size) for size in shape])
