"""Images and labels from what --data and its companions name."""

from __future__ import annotations

import argparse
import errno
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import load_digits
from ..files.errors import format_error
from ..io import FormatError, read_idx, read_idx_images, read_images_npz
from ..io.npz import open_npz
from .options import UsageError
from .settings import DATA

TEST_FRACTION = 0.2

_PARTS = {"train": "train", "test": "t10k"}


@dataclass(frozen=True, eq=False)
class Images:
    """Images as they come from a file, and their labels.

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
        """The labels of images that must have some."""
        if self.y is None:
            raise ValueError(f"{self.name} has no labels")
        return self.y

    def take(self, indices: np.ndarray, what: str) -> Images:
        """Some of the images."""
        y = None if self.y is None else self.y[indices]
        return Images(self.pixels[indices], y, f"{self.name} ({what})")


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images to train on, and perhaps others to test on."""

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
    """What the options name.

    The test images are those that come with the data ('digits', a directory) or are named; else
    ``test_fraction`` of the images, drawn by ``seed``, are kept for it.

    Raises
    ------
    UsageError
        If the options do not go together.
    FormatError, OSError
    """
    test: Images | None
    if data == "digits" or os.path.isdir(data):
        if labels is not None:
            raise UsageError(f"--labels goes with an IDX file, not with --data {data}")
        whole = DataSet(*_digits()) if data == "digits" else _directory(data)
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
    """The images that a model is to be used on: --data, --labels, --part.

    ``before`` are the settings it was trained with, which say what the default is.
    """
    if arguments.data is None:
        if arguments.labels is not None:
            raise UsageError("--labels goes with --data")
        names = {name: before[name] for name in DATA if name in before}
        whole = load(**{"data": "digits", **names}, seed=before.get("split_seed", 0))
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
    if path.endswith(".npz"):
        if labels is not None:
            raise UsageError(f"{option} goes with an IDX file, not with the .npz file {path}")
        if not labelled and (pixels := _unlabelled(path)) is not None:
            return Images(pixels, None, path)
        return Images(*read_images_npz(path), path)
    if labels is not None:
        return Images(*read_idx_images(path, labels), path)
    if labelled:
        os.stat(path)  # a file that is missing is the first thing to say
        raise UsageError(f"{option} is needed: the IDX file {path} holds images only")
    pixels = read_idx(path)
    if pixels.ndim != 3:
        raise format_error(path, f"images have 3 dimensions, got {pixels.ndim}: {pixels.shape}")
    return Images(pixels[..., np.newaxis], None, path)


def _unlabelled(path: str) -> np.ndarray | None:
    """The images of an .npz file without labels."""
    with open_npz(path) as arrays:
        if set(arrays.headers) != {"Z"}:
            return None
        pixels = arrays.read("Z")
    return pixels[..., np.newaxis] if pixels.ndim == 3 else pixels


def _directory(directory: str) -> DataSet:
    """The four files of MNIST and its successors; those of the test part may be missing."""
    train = _part(directory, "train")
    names = [_name(directory, part) for part in ("t10k-images-idx3", "t10k-labels-idx1")]
    return DataSet(train, None if names == [None, None] else _part(directory, "test"))


def _part(directory: str, part: str) -> Images:
    paths = []
    for kind in ("images-idx3", "labels-idx1"):
        stem = f"{_PARTS[part]}-{kind}"
        path = _name(directory, stem)
        if path is None:
            missing = os.path.join(directory, f"{stem}-ubyte")
            raise FileNotFoundError(errno.ENOENT, "No such file, nor with .gz", missing)
        paths.append(path)
    return Images(*read_idx_images(paths[0], paths[1]), f"{directory} ({part})")


def _name(directory: str, stem: str) -> str | None:
    for ending in ("-ubyte", "-ubyte.gz"):
        path = os.path.join(directory, stem + ending)
        if os.path.lexists(path):
            return path
    return None


def check_shape(images: Images, input_shape: tuple[int, ...]) -> None:
    """ValueError unless a network's images have this shape."""
    if images.shape != input_shape:
        raise ValueError(
            f"the images of {images.name} are {shape_text(images.shape)}, those of the network "
            f"{shape_text(input_shape)}"
        )


def scaling(pixels: np.ndarray) -> dict[str, float] | None:
    """How pixels become numbers around 1: integers are divided, floating-point ones are not.

    8 and 16 bits by 255 and 65535; integers of other types, which say nothing about their range,
    by the largest there is.

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
        # -(x) of the smallest integer is not one
        largest = max(int(pixels.max(initial=0)), -int(pixels.min(initial=0)), 1)
    return {"shift": 0.0, "scale": 1 / largest}


def shape_text(shape: Any) -> str:
    """``8 x 8 x 1``"""
    return " x ".join(map(str, shape))
