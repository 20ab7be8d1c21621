"""What MatConvNet's files say beside the layers: size of the images, classes, normalisation."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from matconv.files.regular import shortened

from .fields import Entry, as_list, numbers_of, text_of

__all__ = ["class_labels", "image_shape", "own_names", "preprocessing"]

# channels of a mean image that has one for all of them
_MAX_REPEATED = 64


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
    sizes = [meta.get("inputSize"), normalization(net).get("imageSize"), *sizes]
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
    found = as_list(_struct(_struct(net, "meta"), "matconv").get(field, []))
    return [name for name in found if isinstance(name, str)]


def class_labels(net: dict[str, Any]) -> list[str] | None:
    """Return a text for each class, its description if these differ from each other, or None."""
    classes = _struct(_struct(net, "meta"), "classes") or _struct(net, "classes")
    found = []
    for name in ("description", "name"):
        texts = as_list(classes.get(name, []))
        if texts and all(isinstance(text, str) and text for text in texts):
            found.append(texts)
    for texts in found:
        if len(set(texts)) == len(texts):
            return texts
    return found[0] if found else None


def preprocessing(net: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any] | None:
    """Return the preprocessing of the images (see `matconv.io.preparing`), or None.

    Raises
    ------
    ValueError
        If the mean image does not fit the images.
    """
    given = normalization(net)
    if not given:
        return None
    entry = Entry("normalization", "", "", given, [], [], "")
    own = Entry("matconv", "", "", _struct(_struct(net, "meta"), "matconv"), [], [], "")
    found: dict[str, Any] = {"shift": 0.0, "scale": own.number("scale", 1.0)}
    found["resize"] = [*shape[:2]]
    method = text_of(given.get("interpolation"), "bilinear")
    found["interpolation"] = method if method in ("nearest", "bilinear", "bicubic") else "bilinear"
    found["keep_aspect"] = entry.flag("keepAspect", False)
    border = numbers_of("border", given.get("border"))[:2]
    if len(border) == 2 and all(x == int(x) >= 0 for x in border) and any(border):
        found["border"] = [int(x) for x in border]
    mean = given.get("averageImage")
    if isinstance(mean, np.ndarray) and mean.size == 1:
        found["shift"] = float(mean.ravel()[0])
    elif isinstance(mean, np.ndarray) and mean.size:
        found["mean"] = _mean(mean, shape)
    if not np.isfinite(found["shift"]):
        raise ValueError("averageImage must be finite")
    return found


def _mean(mean: np.ndarray, shape: tuple[int, ...]) -> Any:
    """Return the mean colour, or the mean image, as lists."""
    mean = mean.astype(np.float64)
    if not np.isfinite(mean).all():
        raise ValueError("averageImage must be finite")
    if mean.size == shape[2]:
        return [float(x) for x in mean.ravel()]
    if mean.ndim == 2:
        mean = mean[..., np.newaxis]
    if mean.shape not in (tuple(shape), (*shape[:2], 1)):
        # a larger mean image is that before a crop; its mean colour is what MatConvNet's examples use
        if mean.ndim == 3 and mean.shape[2] == shape[2]:
            return [float(x) for x in mean.mean((0, 1))]
        raise ValueError(f"averageImage {mean.shape} does not fit images {tuple(shape)}")
    # an image with very many channels would take far more memory than the file
    if prod(shape) > _MAX_REPEATED * mean.size:
        raise ValueError(
            f"averageImage {mean.shape} for images {tuple(shape)}: at most {_MAX_REPEATED} channels "
            f"can share a mean"
        )
    return np.broadcast_to(mean, shape).tolist()
