"""Images and labels of the options --data, --labels, --test-data and --test-labels."""

from __future__ import annotations

import argparse
import errno
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import load_digits
from ..files.errors import format_error
from ..graph import shape_text
from ..io import FormatError, Model, kinds, npz, read_idx, read_idx_images, read_images_npz
from .mnist import find_pairs
from .options import UsageError
from .settings import DATA_NAMES, DIGITS, TEST_FRACTION


@dataclass(frozen=True, eq=False)
class Images:
    """Images and labels, as read from files.

    Attributes
    ----------
    pixels : ndarray, (l, height, width, channels)
    y : ndarray of int64, (l,), or None
    name : str
    """

    pixels: np.ndarray
    y: np.ndarray | None
    name: str

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, channels)"""
        return self.pixels.shape[1:]

    @property
    def truth(self) -> np.ndarray:
        """The labels; raises ValueError if there are none."""
        if self.y is None:
            raise ValueError(f"{self.name} has no labels")
        return self.y

    def take(self, indices: np.ndarray, what: str) -> Images:
        """Return the images with some indices; ``what`` is appended to the name."""
        y = None if self.y is None else self.y[indices]
        return Images(self.pixels[indices], y, f"{self.name} ({what})")


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training images and, optionally, test images."""

    train: Images
    test: Images | None = None


def load(
    data: str,
    labels: str | None = None,
    test_data: str | None = None,
    test_labels: str | None = None,
    test_fraction: float | None = None,
    seed: int = 0,
    labelled: bool = True,
) -> DataSet:
    """Load the images of the options.

    The test images are those of ``test_data``; otherwise those that belong to the data ('digits', a
    directory); otherwise a part of the images, ``test_fraction`` of them, drawn by ``seed``.

    Raises
    ------
    UsageError
        If the options contradict each other.
    FormatError, OSError
        If the content of a file is invalid, or it cannot be read.
    """
    test: Images | None
    if data == DIGITS or os.path.isdir(data):
        if labels is not None:
            raise UsageError(f"--labels goes with an IDX file, not with --data {data}")
        whole = DataSet(*_digits()) if data == DIGITS else _directory(data)
        train, test = whole.train, whole.test
    else:
        train, test = _file(data, labels, labelled, "--labels"), None
    if test_data is not None:
        test = _file(test_data, test_labels, labelled, "--test-labels")
    elif test_labels is not None:
        raise UsageError("--test-labels goes with --test-data")
    if test is not None:
        if test_fraction:
            raise UsageError("--test-fraction: there are test images already")
        if test.shape != train.shape:
            raise FormatError(
                f"the images of {test.name} are {shape_text(test.shape)}, those of {train.name} "
                f"{shape_text(train.shape)}"
            )
        return DataSet(train, test)
    return _split(train, TEST_FRACTION if test_fraction is None else test_fraction, seed)


def chosen(arguments: argparse.Namespace, before: dict[str, Any], labelled: bool = True) -> Images:
    """Return the images that --data, --labels and --part choose for a model.

    ``before`` has the settings that the model was trained with, which are the defaults.
    """
    if arguments.data is None:
        if arguments.labels is not None:
            raise UsageError("--labels goes with --data")
        names = {name: before[name] for name in DATA_NAMES if name in before}
        check_recorded(names, arguments.model)
        whole = load(**{"data": DIGITS, **names}, seed=before.get("split_seed", 0))
    else:
        whole = load(arguments.data, arguments.labels, test_fraction=0, labelled=labelled)
    if arguments.part == "train":
        return whole.train
    if whole.test is not None:
        return whole.test
    if arguments.part == "test":
        raise UsageError(f"--part test: {whole.train.name} has no test part")
    return whole.train


def _split(images: Images, fraction: float, seed: int) -> DataSet:
    count = round(fraction * len(images))
    if count == 0:
        return DataSet(images)
    if count == len(images):
        raise UsageError(
            f"--test-fraction {fraction:g} leaves none of the {count} images to train on"
        )
    order = np.random.default_rng(seed).permutation(len(images))
    return DataSet(
        images.take(np.sort(order[count:]), "the rest"),
        images.take(np.sort(order[:count]), f"{100 * fraction:g} %, seed {seed}"),
    )


def _digits() -> tuple[Images, Images]:
    split = load_digits()
    return (
        Images(split.Z_train, split.y_train, "digits (training part)"),
        Images(split.Z_test, split.y_test, "digits (test part)"),
    )


def _file(path: str, labels: str | None, labelled: bool, option: str) -> Images:
    kind = kinds.file_kind(path)
    if kind == "npz":
        if labels is not None:
            raise UsageError(f"{option} goes with an IDX file, not with the .npz file {path}")
        if not labelled and (pixels := _unlabelled(path)) is not None:
            return Images(pixels, None, path)
        return Images(*read_images_npz(path), path)
    if kind != "idx":
        hint = "an .npy file holds one array only: " if kind == "npy" else ""
        raise format_error(path, f"{hint}expected an .npz file with Z and y, or an IDX file")
    if labels is not None:
        return Images(*read_idx_images(path, labels), path)
    if labelled:
        raise UsageError(f"{option} is needed: the IDX file {path} holds images only")
    pixels = read_idx(path)
    if pixels.ndim != 3:
        raise format_error(path, f"images have 3 dimensions, got {pixels.ndim}: {pixels.shape}")
    return Images(pixels[..., np.newaxis], None, path)


def _unlabelled(path: str) -> np.ndarray | None:
    """Return the images of an .npz file without labels; None if it has any array but Z."""
    with npz.open_npz(path) as arrays:
        if set(arrays.headers) != {"Z"}:
            return None
        pixels = arrays.read("Z")
    return pixels[..., np.newaxis] if pixels.ndim == 3 else pixels


def _directory(directory: str) -> DataSet:
    """Load the four files of a data set like MNIST; those of the test images may be missing."""
    train, test = find_pairs(directory)
    return DataSet(
        Images(*read_idx_images(*train), f"{directory} (train)"),
        test and Images(*read_idx_images(*test), f"{directory} (test)"),
    )


def check_recorded(settings: dict[str, Any], model: str) -> None:
    """Raise FileNotFoundError if a data file that a model file names does not exist.

    Parameters
    ----------
    settings : dict
        The settings of the model file that are used.
    model : str
        Name of the model file, for the message.
    """
    for name in ("data", "labels", "test_data", "test_labels"):
        path = settings.get(name)
        if path is None or (name == "data" and path == DIGITS) or os.path.lexists(path):
            continue
        where = ""
        if not os.path.isabs(path):
            with suppress(OSError):
                where = f", a relative path that was looked for in {os.getcwd()!r}"
        raise FileNotFoundError(
            errno.ENOENT,
            f"No such file; {model!r} records it as its {name.replace('_', ' ')}{where}; "
            f"--data names other images",
            path,
        )


def prepared(model: Model, images: Images) -> np.ndarray:
    """Return images as input of the network; warn if they differ from its training images.

    Warns
    -----
    UserWarning
        If they differ in dtype or range (`matconv.io.Model.mismatch`); it has their name.
    """
    check_shape(images, model.network.input_shape)
    different = model.mismatch(images.pixels)
    if different:
        warnings.warn(f"{images.name}: {different}", UserWarning, stacklevel=2)
    if model.preprocessing is None and images.pixels.dtype == model.network.dtype:
        return images.pixels
    return model.convert(images.pixels)


def check_shape(images: Images, input_shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the images have the shape of the network's input."""
    if images.shape != input_shape:
        raise ValueError(
            f"the images of {images.name} are {shape_text(images.shape)}, those of the network "
            f"{shape_text(input_shape)}"
        )


def scaling(pixels: np.ndarray) -> dict[str, float] | None:
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
        largest = int(np.iinfo(pixels.dtype).max)
    else:
        # Python integers: the negative of the smallest int64 is not an int64
        largest = max(int(pixels.max(initial=0)), -int(pixels.min(initial=0)), 1)
    return {"shift": 0.0, "scale": 1 / largest}
