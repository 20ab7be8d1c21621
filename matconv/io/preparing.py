"""Preprocessing of images as data: from pixels of a picture to the input of a network.

    Z = (reordered pixels - mean - shift) * scale

A preprocessing is a dict. "shift" and "scale" are numbers; the other entries are optional:

    mean           a number for each channel, or an image of the network's input, as nested lists
    channels       "RGB" or "BGR": order of the network's channels; pictures are RGB
    transpose      True if rows of a picture are columns of the network's input
    resize         [height, width] that a picture of another size is reduced or enlarged to; in
                   the picture's orientation
    interpolation  "nearest", "bilinear" or "bicubic", for resize
    keep_aspect    True: the picture is resized to cover [height, width], and its centre taken;
                   False: both sides are resized
    border         [rows, columns] more to resize to, before the centre is taken

Mean, shift and scale are applied in double precision; the result is rounded once to the network's
dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from matconv.files.regular import shortened
from matconv.io.pixels import numbers_problem, scaled

__all__ = ["INTERPOLATIONS", "as_preprocessing", "pixel_shape", "prepared", "preprocessing_problem"]

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
ORDERS = ("RGB", "BGR")
_NEEDED = ("shift", "scale")
_MAX_SIDE = 2**16
# elements of float64 at once
_CHUNK = 2**18


def _size_problem(key: str, value: Any, minimum: int) -> str | None:
    good = isinstance(value, list | tuple) and len(value) == 2
    if good and all(type(n) is int and minimum <= n <= _MAX_SIDE for n in value):
        return None
    return f"{key!r} must be two integers from {minimum} to {_MAX_SIDE}, got {shortened(value)}"


def _mean_problem(value: Any, shape: tuple[int, ...]) -> str | None:
    try:
        mean = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return f"'mean' must be numbers, got {shortened(value)}"
    if mean.shape not in (shape[2:], shape):
        return f"'mean' must have the shape {shape[2:]} or {shape}, got {mean.shape}"
    return None if np.isfinite(mean).all() else "'mean' must be finite"


def _choice_problem(key: str, value: Any, choices: tuple[Any, ...]) -> str | None:
    if any(value is one or (isinstance(value, str) and value == one) for one in choices):
        return None
    return f"{key!r} must be one of {', '.join(map(str, choices))}, got {shortened(repr(value))}"


def preprocessing_problem(value: Any, shape: tuple[int, ...]) -> str | None:
    """Return a text about an error in a preprocessing, or None.

    Parameters
    ----------
    value : object
    shape : (height, width, channels)
        Of the network's input.

    Examples
    --------
    >>> preprocessing_problem({"shift": 0, "scale": 1, "channels": "RGBA"}, (8, 8, 3))
    "'channels' must be one of RGB, BGR, got 'RGBA'"
    """
    checks = {
        "mean": lambda one: _mean_problem(one, shape),
        "channels": lambda one: _choice_problem("channels", one, ORDERS),
        "transpose": lambda one: _choice_problem("transpose", one, (False, True)),
        "resize": lambda one: _size_problem("resize", one, 1),
        "interpolation": lambda one: _choice_problem("interpolation", one, INTERPOLATIONS),
        "keep_aspect": lambda one: _choice_problem("keep_aspect", one, (False, True)),
        "border": lambda one: _size_problem("border", one, 0),
    }
    if not isinstance(value, dict) or not set(_NEEDED) <= set(value) <= {*_NEEDED, *checks}:
        return f"expected 'shift' and 'scale', got {shortened(value)}"
    problems = [numbers_problem(value, _NEEDED)]
    problems += [check(value[key]) for key, check in checks.items() if key in value]
    if value.get("channels") == "BGR" and shape[2] != 3:
        problems.append(f"'channels' is BGR, the network has {shape[2]} channels")
    if "resize" in value and not any(problems):
        expected = pixel_shape(value, shape)[:2]
        if tuple(value["resize"]) != expected:
            problems.append(f"'resize' must be {[*expected]}, the size of the network's images")
    return next((problem for problem in problems if problem), None)


def as_preprocessing(value: dict[str, Any]) -> dict[str, Any]:
    """Return a checked preprocessing whose shift and scale are floats."""
    return {**value, **{key: float(value[key]) for key in _NEEDED}}


def pixel_shape(preprocessing: dict[str, Any] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a picture whose input to the network has a shape."""
    if preprocessing is not None and preprocessing.get("transpose"):
        return (shape[1], shape[0], shape[2])
    return tuple(shape)


def prepared(
    pixels: np.ndarray, preprocessing: dict[str, Any] | None, dtype: np.dtype
) -> np.ndarray:
    """Return the input of a network, a new C-contiguous array.

    Parameters
    ----------
    pixels : ndarray of real numbers, (l, height, width, channels)
        With the shape that `pixel_shape` returns.
    preprocessing : dict or None
    dtype : float64 or float32

    Returns
    -------
    ndarray, (l, *input_shape)

    Examples
    --------
    >>> pixels = np.array([[[[10, 20, 30]]]], np.uint8)
    >>> how = {"shift": 0.0, "scale": 0.5, "mean": [1.0, 2.0, 3.0], "channels": "BGR"}
    >>> prepared(pixels, how, np.dtype(np.float64)).tolist()
    [[[[14.5, 9.0, 3.5]]]]
    """
    how = preprocessing or {}
    if how.get("transpose"):
        pixels = pixels.transpose(0, 2, 1, 3)
    if how.get("channels") == "BGR":
        pixels = pixels[..., ::-1]
    if preprocessing is None:
        with np.errstate(all="ignore"):
            return np.array(pixels, dtype=dtype, order="C")
    if "mean" not in how:
        return scaled(pixels, how["shift"], how["scale"], dtype)
    return _centred(pixels, np.array(how["mean"], np.float64) + how["shift"], how["scale"], dtype)


def _centred(pixels: np.ndarray, mean: np.ndarray, scale: float, dtype: np.dtype) -> np.ndarray:
    Z = np.empty(pixels.shape, dtype)
    images = max(1, _CHUNK // max(1, pixels[:1].size))
    with np.errstate(all="ignore"):
        for first in range(0, len(pixels), images):
            part = slice(first, first + images)
            Z[part] = (pixels[part].astype(np.float64) - mean) * scale
    return Z
