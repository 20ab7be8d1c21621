"""Files of images, a record for each format: its reader, and what the reader needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..files.errors import format_error
from ..io import (
    Model,
    extras,
    kinds,
    npz,
    read_cifar,
    read_idx,
    read_idx_images,
    read_images_mat,
    read_images_npz,
    read_npy,
    read_pictures,
    read_simplenn_data,
)
from .options import UsageError

__all__ = [
    "FORMATS",
    "Format",
    "Found",
    "Wanted",
    "no_labels",
    "read_images",
    "read_sized_pictures",
]


class Wanted(NamedTuple):
    """What is known of images that are to be read.

    Attributes
    ----------
    model : Model or None
        The model that they are for; pictures get the size that it needs.
    shape : (height, width, channels) or None
        Their shape, for files that do not say it.
    order : "column" or "row"
        Order of the pixels in such files.
    labels : str or None
        File with their labels, for formats that have none.
    option : str
        Option that names that file, for messages.
    labelled : bool
        Whether labels are needed.
    """

    model: Model | None
    shape: tuple[int, ...] | None
    order: str
    labels: str | None = None
    option: str = "--labels"
    labelled: bool = True


class Found(NamedTuple):
    """Images of a file.

    Attributes
    ----------
    pixels : ndarray, (l, height, width, channels)
    y : ndarray of int64, (l,), or None
    files : tuple of str, or None
        Name of the file, if it is a picture.
    """

    pixels: np.ndarray
    y: np.ndarray | None = None
    files: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Format:
    """A format of files of images. `matconv.io.kinds.KINDS` recognises it, under the same key.

    Attributes
    ----------
    expected : str
        Text for messages: the format, and what the file must have.
    read : callable
        Returns the images of a file that are wanted.
    other_labels : bool
        Whether the labels are in another file.
    extra : str
        Extra of matconv that the reader needs (see `matconv.io.extras`); empty if it needs none.
    """

    expected: str
    read: Callable[[str, Wanted], Found]
    other_labels: bool = False
    extra: str = ""


# readers of labels that are in a file of their own
_LABELS = {"idx": read_idx, "npy": read_npy}


def _npz(path: str, wanted: Wanted) -> Found:
    if not wanted.labelled:
        with npz.open_npz(path) as arrays:
            if set(arrays.headers) == {"Z"}:
                return Found(_as_images(path, arrays.read("Z"), True))
    return Found(*read_images_npz(path))


def _idx(path: str, wanted: Wanted) -> Found:
    if wanted.labels is not None and kinds.file_kind(wanted.labels) == "idx":
        return Found(*read_idx_images(path, wanted.labels))
    return _with_labels(_as_images(path, read_idx(path), False), wanted)


def _npy(path: str, wanted: Wanted) -> Found:
    pixels = read_npy(path)
    if pixels.shape == wanted.shape:  # one image, not gray ones
        pixels = pixels[np.newaxis]
    return _with_labels(_as_images(path, pixels, True), wanted)


def _mat(path: str, wanted: Wanted) -> Found:
    return Found(*read_images_mat(path, wanted.shape, wanted.order))


def _libsvm(path: str, wanted: Wanted) -> Found:
    if wanted.shape is None:
        raise UsageError(f"--input-shape is needed: the LIBSVM file {path} does not say it")
    return Found(*read_simplenn_data(path, wanted.shape, wanted.order))


def _cifar(path: str, wanted: Wanted) -> Found:
    return Found(*read_cifar(path))


def _picture(path: str, wanted: Wanted) -> Found:
    return Found(read_sized_pictures([path], wanted.model), files=(path,))


FORMATS = {
    "npz": Format("an .npz file with Z and y", _npz),
    "idx": Format("an IDX file", _idx, other_labels=True),
    "npy": Format("an .npy file", _npy, other_labels=True),
    "mat": Format("a MATLAB file with X or Z and y", _mat),
    "mat73": Format("a MATLAB file with X or Z and y", _mat, extra="matlab"),
    "picture": Format("a PNG or JPEG picture", _picture, extra="images"),
    "cifar": Format("a file of CIFAR", _cifar),
    "libsvm": Format("a text file of LIBSVM", _libsvm),
}


def read_images(path: str, wanted: Wanted) -> Found:
    """Return the images of a file, whose format is recognised by its content.

    Raises
    ------
    UsageError
        If the labels are in another file that is not given, or given though they are not.
    FormatError, OSError
        If the content of a file is invalid, or it cannot be read.
    ValueError
        If labels are needed, and the format has none.
    """
    kind = kinds.file_kind(path)
    if kind not in FORMATS:
        *some, last = dict.fromkeys(one.expected for one in FORMATS.values())
        raise kinds.unexpected(path, kind, f"{', '.join(some)} or {last}")
    chosen, title = FORMATS[kind], kinds.KINDS[kind].name
    if wanted.labels is not None and not chosen.other_labels:
        raise UsageError(
            f"{wanted.option} goes with an IDX or .npy file, not with the {title} {path}"
        )
    if wanted.labels is None and wanted.labelled and chosen.other_labels:
        raise UsageError(f"{wanted.option} is needed: the {title} {path} holds images only")
    if chosen.extra:
        extras.need(chosen.extra)
    found = chosen.read(path, wanted)
    if wanted.labelled and found.y is None:
        raise ValueError(no_labels(path, found.files is not None))
    return found


def no_labels(name: str, are_pictures: bool) -> str:
    """Return the text of an error about images without labels."""
    more = ": a directory of pictures needs a subdirectory for each class" if are_pictures else ""
    return f"{name} has no labels{more}"


def read_sized_pictures(paths: list[str], model: Model | None) -> np.ndarray:
    """Return pictures, in the size that a model needs."""
    if model is None:
        return read_pictures(paths)
    shape = model.pixel_shape
    return read_pictures(paths, shape[2], shape[:2], model.preprocessing)


def _as_images(path: str, pixels: np.ndarray, colour: bool) -> np.ndarray:
    """Return an array with 3 dimensions, or with 4 if there may be colours, as images."""
    if pixels.ndim not in (3, 4 if colour else 3):
        expected = "3 or 4 dimensions" if colour else "3 dimensions"
        raise format_error(path, f"images have {expected}, got {pixels.ndim}: {pixels.shape}")
    return pixels[..., np.newaxis] if pixels.ndim == 3 else pixels


def _with_labels(pixels: np.ndarray, wanted: Wanted) -> Found:
    """Return images with the labels of an IDX or .npy file, if one is given."""
    path = wanted.labels
    if path is None:
        return Found(pixels)
    kind = kinds.file_kind(path)
    if kind not in _LABELS:
        raise kinds.unexpected(path, kind, "an IDX or .npy file with labels")
    y = _LABELS[kind](path)
    count = len(pixels)
    if y.ndim != 1 or y.dtype.kind not in "iu" or len(y) != count:
        raise format_error(
            path, f"expected {count} labels, integers of shape ({count},), got {y.dtype} {y.shape}"
        )
    return Found(pixels, y.astype(np.int64))
