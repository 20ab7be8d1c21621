"""Sizes in full, from what Python functions take: integers, pairs, padding, shapes of images,
windows of pools."""

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


def as_pool_window(str function, shape, window, stride, pad):
    """Return (window, stride), where the window "image" is replaced by that of all pixels."""
    if not isinstance(window, str) or window != "image":
        return window, window if stride is None else stride
    if stride is not None or pad != 0:
        raise ValueError(f"{function}: the window 'image' has neither a stride nor a pad")
    if not is_sequence(shape) or len(shape) != 4:
        raise ValueError(
            f"{function}: shape must be (images, height, width, channels), got {shape!r}"
        )
    return tuple(shape[1:3]), 1


def ceil_padding(str function, shape, window, stride, pad):
    """Return the padding with which as many windows fit as begin in the image or before it.

    Parameters
    ----------
    function : str
        The first word of every error message.
    shape : (l, b, a, d)
    window, stride, pad
        As for `max_pool2d` with ``ceil``.

    Returns
    -------
    pad : ((top, bottom), (left, right))
    """
    h_b, h_a = as_pair(function, "window", window)
    s_b, s_a = as_pair(function, "stride", stride)
    sides = []
    for n, h, s, (before, after) in zip(
        shape[1:3], (h_b, h_a), (s_b, s_a), as_padding(function, pad)
    ):
        # ceil((n + before + after - h) / s) + 1 windows, of which the last begins at (count - 1) s
        count = 1 if s < 1 else -((h - n - before - after) // s) + 1
        if (count - 1) * s >= n + before:
            count -= 1
        if count >= 1:
            after = max((count - 1) * s + h - n - before, 0)
        sides.append((before, after))
    return tuple(sides)


def counted_padding(str function, pad, bint count_pad):
    """Return (bottom, right) of the padding that counts in a mean; None without ``count_pad``."""
    if not count_pad:
        return None
    (_, bottom), (_, right) = as_padding(function, pad)
    return bottom, right
