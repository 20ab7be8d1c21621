"""The preprocessing that a training chooses for its images."""

from __future__ import annotations

from typing import Any

import numpy as np

# choices of the option --pixels of `matconv train`
DESCRIPTIONS = {
    "scaled": "integers are divided by the largest one of their type",
    "unscaled": "as they are",
    "centred": "scaled, floating-point numbers by their largest magnitude, and the mean of the "
    "training images is subtracted, as in simpleNN's example",
}


def preprocessing(
    pixels: np.ndarray, choice: str | None = None, transpose: bool = False
) -> dict[str, Any] | None:
    """Return the preprocessing for training images (see `matconv.io.preparing`), or None.

    Parameters
    ----------
    pixels : ndarray, (l, height, width, channels)
    choice : {"scaled", "unscaled", "centred"}, optional
        See `DESCRIPTIONS`; by default "scaled".
    transpose : bool
        Whether rows and columns are exchanged.

    Examples
    --------
    >>> preprocessing(np.array([[[[1.0]]], [[[4.0]]]]), "centred")
    {'shift': 0.0, 'scale': 0.25, 'mean': [[[2.5]]]}
    """
    found: dict[str, Any] | None = None
    if choice == "centred":
        found = scaling(pixels) or {"shift": 0.0, "scale": 1 / _magnitude(pixels)}
        mean = pixels.mean(axis=0, dtype=np.float64)
        found["mean"] = (mean.transpose(1, 0, 2) if transpose else mean).tolist()
    elif choice != "unscaled":
        found = scaling(pixels)
    if transpose:
        found = {**(found or {"shift": 0.0, "scale": 1.0}), "transpose": True}
    return found


def scaling(pixels: np.ndarray) -> dict[str, Any] | None:
    """Return the preprocessing that scales integer pixels to at most 1; None for floats.

    uint8 and uint16 pixels are divided by 255 and 65535. Pixels of other integer types, whose range
    is not known, are divided by their maximum magnitude.

    Examples
    --------
    >>> scaling(np.array([0, 51], np.uint8))
    {'shift': 0.0, 'scale': 0.00392156862745098}
    """
    if pixels.dtype.kind not in "iu":
        return None
    if pixels.dtype in (np.uint8, np.uint16):
        largest = float(np.iinfo(pixels.dtype).max)
    else:
        largest = _magnitude(pixels)
    return {"shift": 0.0, "scale": 1 / largest}


def _magnitude(pixels: np.ndarray) -> float:
    """Return the maximum magnitude of real numbers, 1 if it is 0."""
    # Python numbers: the negative of the smallest int64 is not an int64
    return max(pixels.max(initial=0).item(), -pixels.min(initial=0).item()) or 1
