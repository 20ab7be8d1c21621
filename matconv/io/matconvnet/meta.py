"""What MatConvNet's files say beside the layers: size of the images, classes, normalisation."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from matconv.files.regular import shortened
from matconv.io.pixels import pixels_problem
from matconv.io.preparing import INTERPOLATIONS

from .fields import Entry, as_list, numbers_of

__all__ = [
    "class_names",
    "image_shape",
    "own_labels",
    "own_names",
    "own_pixels",
    "preprocessing",
]

# channels of a mean image that has one for all of them
_MAX_REPEATED = 64
_MAX_BORDER = 2**16


def _struct(value: Any, name: str) -> dict[str, Any]:
    """Return a field that is a struct; an empty dict for anything else."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def normalization(net: dict[str, Any]) -> dict[str, Any]:
    """Return the struct about the images, of the present or of the early form of files."""
    return _struct(_struct(net, "meta"), "normalization") or _struct(net, "normalization")


def image_shape(net: dict[str, Any], channels: int | None) -> tuple[int, int, int] | None:
    """Return (height, width, channels) of the images; None if the file does not say it.

    Raises
    ------
    ValueError
        If the size is not one of images.
    """
    meta = _struct(net, "meta")
    sizes = [one.get("size") for one in as_list(meta.get("inputs", [])) if isinstance(one, dict)]
    own = meta.get("inputSize")
    if isinstance(own, list):  # {name of the input, its size}
        own = next((one for one in own if isinstance(one, np.ndarray)), None)
    sizes = [own, normalization(net).get("imageSize"), *sizes]
    for value in sizes:
        size = numbers_of("size of the images", value)
        if len(size) == 1 and channels is not None:
            size = [size[0], size[0], channels]
        if len(size) == 2:  # MATLAB leaves out a last dimension of 1
            size = [*size, 1 if channels is None else channels]
        if len(size) < 3:
            continue
        if any(not 1 <= x < 2**31 or x != int(x) for x in size[:3]):
            raise ValueError(f"size of the images: {shortened(size)}")
        return int(size[0]), int(size[1]), int(size[2])
    return None


def own_names(net: dict[str, Any], field: str) -> list[str]:
    """Return names that matconv has written: of "dense" layers, of "outputs"."""
    found = as_list(_own(net).get(field, []))
    return [name for name in found if isinstance(name, str)]


def class_names(net: dict[str, Any]) -> list[list[str]]:
    """Return the descriptions and the names of the classes, those that the file has, if they differ.

    The first list has texts that differ from each other, if one has.
    """
    classes = _struct(_struct(net, "meta"), "classes") or _struct(net, "classes")
    found: list[list[str]] = []
    for name in ("description", "name"):
        texts = as_list(classes.get(name, []))
        if texts and all(isinstance(text, str) and text for text in texts) and texts not in found:
            found.append(texts)
    return sorted(found, key=lambda texts: len(set(texts)) < len(texts))


def _own(net: dict[str, Any]) -> dict[str, Any]:
    """Return what matconv has written beside MatConvNet's fields."""
    return _struct(_struct(net, "meta"), "matconv")


def own_labels(net: dict[str, Any], classes: list[str]) -> list[int] | None:
    """Return the integers that matconv has written as labels; None if the classes are others."""
    value = _own(net).get("labels")
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return None
    found = [float(x) for x in value.ravel()]
    if not all(abs(x) < 2**53 and x == int(x) for x in found):
        return None
    labels = [int(x) for x in found]
    return labels if [str(label) for label in labels] == classes else None


def own_pixels(net: dict[str, Any]) -> dict[str, Any] | None:
    """Return the description of the training images (see `matconv.io.describe_pixels`), or None.

    MatConvNet's images are pixels from 0 to 255, if the file says how they are normalised.

    Raises
    ------
    ValueError
        If the description that matconv has written is invalid.
    """
    if not _own(net):
        return {"dtype": "uint8", "min": 0.0, "max": 255.0} if normalization(net) else None
    value = _own(net).get("pixels")
    if not isinstance(value, dict):
        return None
    entry = Entry("pixels", "", "", value, [], [], "")
    found: dict[str, Any] = {"dtype": entry.text("dtype", "")}
    found |= {name: entry.number(name, 0.0) for name in ("min", "max")}
    problem = pixels_problem(found)
    if problem:
        raise ValueError(f"matconv.pixels: {problem}")
    return found


def preprocessing(
    net: dict[str, Any], shape: tuple[int, ...]
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the preprocessing of the images (see `matconv.io.preparing`), or None, and notes.

    Raises
    ------
    ValueError
        If the mean image does not fit the images, or a field is invalid.
    """
    given = normalization(net)
    if not given:
        unknown = "no normalization in the file: pixels are used as they are"
        return None, [] if _own(net) else [unknown]
    notes: list[str] = []
    entry = Entry("normalization", "", "", given, [], [], "")
    own = Entry("matconv", "", "", _own(net), [], [], "")
    found: dict[str, Any] = {"shift": 0.0, "scale": own.number("scale", 1.0)}
    found["resize"] = [*shape[:2]]
    method = entry.text("interpolation", "bilinear")
    if method not in INTERPOLATIONS:
        notes.append(f"normalization.interpolation {shortened(method)!r}: bilinear in its place")
        method = "bilinear"
    found["interpolation"] = method
    border = _border(given, shape)
    found["keep_aspect"] = entry.flag("keepAspect", border is not None)
    if border is not None and any(border):
        found["border"] = border
    mean = given.get("averageImage")
    if mean is not None and not isinstance(mean, np.ndarray) and mean not in ("", []):
        raise ValueError(f"averageImage must be numbers, got {shortened(repr(mean))}")
    if isinstance(mean, np.ndarray) and mean.size == 1:
        found["shift"] = float(mean.ravel()[0])
    elif isinstance(mean, np.ndarray) and mean.size:
        found["mean"] = _mean(mean, shape, notes)
    if not np.isfinite(found["shift"]):
        raise ValueError("averageImage must be finite")
    return found, notes


def _border(given: dict[str, Any], shape: tuple[int, ...]) -> list[int] | None:
    """Return how many rows and columns more a picture has before the crop; None if not given."""
    border = numbers_of("border", given.get("border"))
    if border:
        if len(border) > 2 or any(x != int(x) or not 0 <= x <= _MAX_BORDER for x in border):
            raise ValueError(
                f"border must be 1 or 2 integers from 0 to {_MAX_BORDER}, got {shortened(border)}"
            )
        return [int(border[0]), int(border[-1])]
    crop = numbers_of("cropSize", given.get("cropSize"))
    if not crop:
        return None
    # side of the crop divided by that of the picture: 227 / 256 leaves 29 rows
    if len(crop) > 2 or not all(0 < c <= 1 for c in crop):
        raise ValueError(f"cropSize must be 1 or 2 numbers from 0 to 1, got {shortened(crop)}")
    sides = [n / c - n for n, c in zip(shape[:2], (crop[0], crop[-1]), strict=True)]
    if max(sides) > _MAX_BORDER:
        raise ValueError(f"cropSize {shortened(crop)} leaves more than {_MAX_BORDER} rows")
    return [round(n) for n in sides]


def _mean(mean: np.ndarray, shape: tuple[int, ...], notes: list[str]) -> Any:
    """Return the mean colour, or the mean image, as lists; add a note if that is not the file's."""
    mean = mean.astype(np.float64)
    if not np.isfinite(mean).all():
        raise ValueError("averageImage must be finite")
    if mean.size == shape[2]:
        return [float(x) for x in mean.ravel()]
    if mean.ndim == 2:
        mean = mean[..., np.newaxis]
    if mean.shape not in (tuple(shape), (*shape[:2], 1)):
        # which pixels of a picture belong to those of the mean is unknown: its mean colour is used
        if mean.ndim == 3 and mean.shape[2] == shape[2]:
            sizes = [" x ".join(map(str, one[:2])) for one in (mean.shape, shape)]
            notes.append(
                f"normalization.averageImage is {sizes[0]}, the images are {sizes[1]}: "
                f"its mean colour in its place"
            )
            return [float(x) for x in mean.mean((0, 1))]
        raise ValueError(f"averageImage {mean.shape} does not fit images {tuple(shape)}")
    # an image with very many channels would take far more memory than the file
    if prod(shape) > _MAX_REPEATED * mean.size:
        raise ValueError(
            f"averageImage {mean.shape} for images {tuple(shape)}: at most {_MAX_REPEATED} channels "
            f"can share a mean"
        )
    return np.broadcast_to(mean, shape).tolist()
