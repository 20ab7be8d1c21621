"""Pixels of images: scaling to a network's input, and comparison with the training images.

Z = (pixels - shift) * scale        in double precision, rounded once to the network's dtype
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from matconv.arguments import refuse_masked
from matconv.files.regular import shortened

__all__ = ["describe_pixels", "mismatch", "numbers_problem", "pixels_problem", "scaled"]

# number of elements at a time, so that temporary arrays stay in the cache
_CHUNK = 2**16
_EXACT = 2**53
_DTYPE = re.compile(r"bool|u?int(?:8|16|32|64)|float\d{2,3}")
# images whose maximum is below that of the training images by this factor have another scale
_DARKER = 128


def _chunks(pixels: np.ndarray, *more: np.ndarray) -> Any:
    """Iterate in C order over 1-D pieces, in native byte order, of arrays of equal shape."""
    arrays = [pixels, *more]
    op_flags: list[Any] = [["readonly"], *(["writeonly"] for _ in more)]
    return np.nditer(
        arrays,
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_flags=op_flags,
        op_dtypes=[array.dtype.newbyteorder("=") for array in arrays],
        order="C",
        buffersize=_CHUNK,
    )


def _shifted(pixels: np.ndarray, shift: float) -> np.ndarray:
    """Return pixels - shift in double precision (for longdouble pixels in longdouble)."""
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize > 8:
        return pixels - np.longdouble(shift)
    result = pixels.astype(np.float64)
    result -= shift
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize == 8:
        # p = 2^32 high + low: both are exact in double precision, p is not
        large = (pixels > _EXACT) | (pixels < -_EXACT if pixels.dtype.kind == "i" else False)
        if large.any():
            p = pixels[large]
            high, low = p >> p.dtype.type(32), p & p.dtype.type(2**32 - 1)
            result[large] = (high.astype(np.float64) * 2.0**32 - shift) + low
    return result


def scaled(pixels: np.ndarray, shift: float, scale: float, dtype: np.dtype) -> np.ndarray:
    """Return (pixels - shift) * scale in a new C-contiguous array.

    Parameters
    ----------
    pixels : ndarray of real numbers
        64-bit integers beyond 2^53 are not rounded before shift is subtracted.
    shift, scale : float
    dtype : float64 or float32
        dtype of the result, to which it is rounded once. It is computed in float64 (for longdouble
        pixels in longdouble).

    Returns
    -------
    ndarray, the shape of `pixels`

    Examples
    --------
    >>> scaled(np.array([2**24 + 1]), 2.0**24, 0.5, np.dtype(np.float32))
    array([0.5], dtype=float32)
    """
    Z = np.empty(pixels.shape, dtype)
    with np.errstate(all="ignore"), _chunks(pixels, Z) as chunks:
        for p, z in chunks:
            z[...] = _shifted(p, shift) * scale
    return Z


def _range(pixels: np.ndarray) -> tuple[float, float] | None:
    """Return the minimum and the maximum of the finite pixels, None if there are none."""
    low, high = np.inf, -np.inf
    with np.errstate(all="ignore"), _chunks(pixels) as chunks:
        for p in chunks:
            if p.dtype.kind == "f":
                p = p[np.isfinite(p)]
            if p.size:
                low, high = min(low, float(p.min())), max(high, float(p.max()))
    return (low, high) if np.isfinite(low) and np.isfinite(high) else None


def _name(dtype: np.dtype) -> str:
    """Return the name of a dtype, made from kind and size: equal for int64 and long long."""
    kinds = {"b": "bool", "i": "int", "u": "uint", "f": "float"}
    return kinds[dtype.kind] + ("" if dtype.kind == "b" else str(8 * dtype.itemsize))


def describe_pixels(pixels: Any) -> dict[str, Any] | None:
    """Describe the pixels of training images, for `save_model`.

    Parameters
    ----------
    pixels : array_like of real numbers
        Pixels as read from a file, before shift and scale.

    Returns
    -------
    dict or None
        ``{"dtype": str, "min": float, "max": float}``; None if no pixel is finite.

    Raises
    ------
    TypeError
        If `pixels` are not real numbers, or are a masked array.

    Examples
    --------
    >>> describe_pixels(np.array([[0, 255], [3, 4]], np.uint8))
    {'dtype': 'uint8', 'min': 0.0, 'max': 255.0}
    """
    refuse_masked("describe_pixels: pixels", pixels)
    pixels = np.asarray(pixels)
    if pixels.dtype.kind not in "biuf":
        raise TypeError(f"describe_pixels: pixels must be real numbers, got {pixels.dtype}")
    found = _range(pixels)
    return found and {"dtype": _name(pixels.dtype), "min": found[0], "max": found[1]}


def numbers_problem(values: dict[str, Any], keys: Iterable[str]) -> str | None:
    """Return a text about the first of some entries that is not a finite number, or None."""
    for key in keys:
        number = values[key]
        if isinstance(number, bool) or not isinstance(number, int | float):
            return f"{key!r} must be a number, got {shortened(repr(number))}"
        if not abs(number) <= sys.float_info.max:
            return f"{key!r} must be finite, got {shortened(number)}"
    return None


def pixels_problem(value: Any) -> str | None:
    """Return a text about an error in a description of pixels, or None."""
    if not isinstance(value, dict) or set(value) != {"dtype", "min", "max"}:
        return f"expected 'dtype', 'min' and 'max', got {shortened(value)}"
    if not isinstance(value["dtype"], str) or not _DTYPE.fullmatch(value["dtype"]):
        return f"'dtype' must name a type of real numbers, got {shortened(repr(value['dtype']))}"
    problem = numbers_problem(value, ("min", "max"))
    if problem is None and value["min"] > value["max"]:
        problem = f"'min' {value['min']} is over 'max' {value['max']}"
    return problem


def mismatch(trained: dict[str, Any] | None, pixels: np.ndarray) -> str | None:
    """Compare images with those that a network was trained on.

    Parameters
    ----------
    trained : dict or None
        Result of `describe_pixels` for the training images; None if it is not known.
    pixels : ndarray of real numbers

    Returns
    -------
    str or None
        A text about the difference. None if there is none, which means that

        * both are floating-point numbers, or both are integers;
        * integers of another dtype are in the range of the dtype of training;
        * no value is farther outside the range of training than that range is wide;
        * the maximum magnitude of floating-point images is 0, or at least 1/128 of that of
          training. (Integers of the same dtype may have any magnitude.)

    Examples
    --------
    >>> mismatch({"dtype": "uint8", "min": 0.0, "max": 255.0}, np.array([0.0, 1.0]))
    'the pixels are float64 from 0 to 1, those of training were uint8 from 0 to 255'
    """
    found = _range(pixels) if trained is not None else None
    if trained is None or found is None:
        return None
    name = _name(pixels.dtype)
    low, high = trained["min"], trained["max"]
    width = high - low
    fits = name.startswith("float") == trained["dtype"].startswith("float")
    fits = fits and low - width <= found[0] and found[1] <= high + width
    if name.startswith("float"):
        largest = max(-found[0], found[1])
        fits = fits and (largest == 0 or largest >= max(-low, high) / _DARKER)
    elif fits and name != trained["dtype"] and trained["dtype"] != "bool":
        limits = np.iinfo(trained["dtype"])
        fits = limits.min <= found[0] and found[1] <= limits.max
    if fits:
        return None
    return (
        f"the pixels are {name} from {found[0]:.6g} to {found[1]:.6g}, those of training were "
        f"{trained['dtype']} from {low:.6g} to {high:.6g}"
    )
