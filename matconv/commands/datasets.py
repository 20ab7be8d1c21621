"""Images and labels of the options --data, --labels, --test-data and --test-labels."""

from __future__ import annotations

import argparse
import errno
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data import load_digits
from ..files.errors import format_error
from ..graph import shape_text
from ..io import (
    FormatError,
    Model,
    cifar,
    pictures,
    read_cifar,
    read_idx_images,
    simplenn,
)
from .formats import Wanted, no_labels, read_images, read_sized_pictures
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
    classes : tuple of str, or None
        Name of each label 0, 1, ..., of images that are in a directory for each class.
    files : tuple of str, or None
        Names of the files of single pictures.
    first_label : int or None
        The label of the first class, where labels number the classes of a model; None if they show
        it themselves.
    """

    pixels: np.ndarray
    y: np.ndarray | None
    name: str
    classes: tuple[str, ...] | None = None
    files: tuple[str, ...] | None = None
    first_label: int | None = None

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
            raise ValueError(no_labels(self.name, self.files is not None))
        return self.y

    def take(self, indices: np.ndarray, what: str) -> Images:
        """Return the images with some indices; ``what`` is appended to the name."""
        y = None if self.y is None else self.y[indices]
        files = None if self.files is None else tuple(self.files[k] for k in indices)
        name = f"{self.name} ({what})"
        return replace(self, pixels=self.pixels[indices], y=y, name=name, files=files)


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
    model: Model | None = None,
    shape: tuple[int, ...] | None = None,
    pixel_order: str | None = None,
    first_label: str | None = None,
) -> DataSet:
    """Load the images of the options; pictures get the size that a model needs.

    ``shape`` is that of the images in files that do not say it; by default that of the model's. The
    test images are those of ``test_data``; otherwise those that belong to the data ('digits', a
    directory); otherwise a part of the images, ``test_fraction`` of them, drawn by ``seed``.

    Raises
    ------
    UsageError
        If the options contradict each other.
    FormatError, OSError
        If the content of a file is invalid, or it cannot be read.
    """
    test: Images | None
    shape = shape if model is None else model.pixel_shape
    wanted = Wanted(model, shape, pixel_order or simplenn.ORDERS[0], labels, "--labels", labelled)
    other = wanted._replace(labels=test_labels, option="--test-labels")
    if data == DIGITS or os.path.isdir(data):
        if labels is not None:
            raise UsageError(f"--labels goes with an IDX or .npy file, not with --data {data}")
        whole = DataSet(*_digits()) if data == DIGITS else _directory(data, wanted)
        train, test = whole.train, whole.test
    else:
        train, test = _file(data, wanted), None
    if test_data is not None:
        if os.path.isdir(test_data) and test_labels is None:
            test = _directory(test_data, wanted).train
        else:
            test = _file(test_data, other)
    elif test_labels is not None:
        raise UsageError("--test-labels goes with --test-data")
    if first_label is not None:
        first = int(first_label)
        train = replace(train, first_label=first)
        test = None if test is None else replace(test, first_label=first)
    if test is not None:
        if test_fraction:
            raise UsageError("--test-fraction: there are test images already")
        if test.shape != train.shape:
            raise FormatError(
                f"the images of {test.name} are {shape_text(test.shape)}, those of {train.name} "
                f"{shape_text(train.shape)}"
            )
        if test.classes != train.classes:
            raise FormatError(f"{test.name} does not have the classes of {train.name}")
        return DataSet(train, test)
    return _split(train, TEST_FRACTION if test_fraction is None else test_fraction, seed)


def chosen(
    arguments: argparse.Namespace, before: dict[str, Any], model: Model, labelled: bool = True
) -> Images:
    """Return the images that --data, --labels and --part choose for a model.

    ``before`` has the settings that the model was trained with, which are the defaults.
    """
    if arguments.data is None:
        if arguments.labels is not None:
            raise UsageError("--labels goes with --data")
        names = {name: before[name] for name in DATA_NAMES if name in before}
        for name in ("pixel_order", "first_label"):
            if getattr(arguments, name, None) is not None:
                raise UsageError(f"--{name.replace('_', '-')} goes with --data")
        if "data" not in names:
            raise UsageError(
                f"--data is needed: {arguments.model} does not say which images it was trained on"
            )
        check_recorded(names, arguments.model)
        whole = load(**names, seed=before.get("split_seed", 0), model=model)
    else:
        whole = load(
            arguments.data,
            arguments.labels,
            test_fraction=0,
            labelled=labelled,
            model=model,
            pixel_order=arguments.pixel_order or before.get("pixel_order"),
            first_label=getattr(arguments, "first_label", None),
        )
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


def _file(path: str, wanted: Wanted) -> Images:
    """Return the images of a file."""
    found = read_images(path, wanted)
    return Images(found.pixels, found.y, path, files=found.files)


def _pictures(paths: list[str], name: str, model: Model | None) -> Images:
    """Return pictures, in the size that a model needs."""
    return Images(read_sized_pictures(paths, model), None, name, files=tuple(paths))


def _directory(directory: str, wanted: Wanted) -> DataSet:
    """Load the files of CIFAR, of MNIST or of pictures that a directory has.

    The test images of CIFAR and MNIST may be missing.
    """
    if any(files := cifar.list_cifar(directory)):
        train, test = (_cifar(paths, directory) for paths in files)
        if train is None:
            raise format_error(directory, "there are test images of CIFAR, but no training images")
        return DataSet(train, test)
    try:
        first, second = find_pairs(directory)
    except FileNotFoundError as error:
        found = _picture_directory(directory, wanted.model)
        if found is None:
            text = f"{error.strerror}; there are no pictures (.png, .jpg) or files of CIFAR either"
            raise FileNotFoundError(errno.ENOENT, text, directory) from None
        return DataSet(found)
    return DataSet(
        Images(*read_idx_images(*first), f"{directory} (train)"),
        second and Images(*read_idx_images(*second), f"{directory} (test)"),
    )


def _picture_directory(directory: str, model: Model | None) -> Images | None:
    """Return the pictures of a directory, or of its subdirectories, one for each class."""
    paths = pictures.list_pictures(directory)
    if classes := pictures.picture_classes(directory):
        if paths:
            raise format_error(
                directory,
                f"there are pictures in the directory, {os.path.basename(paths[0])!r}, and in "
                f"subdirectories, {next(iter(classes))!r}: expected pictures in one of them",
            )
        found = _pictures([path for paths in classes.values() for path in paths], directory, model)
        counts = [len(paths) for paths in classes.values()]
        y = np.repeat(np.arange(len(classes)), counts)
        return replace(found, y=y, classes=tuple(classes))
    if paths:
        return _pictures(paths, directory, model)
    return None


def _cifar(paths: list[str], directory: str) -> Images | None:
    if not paths:
        return None
    parts = [read_cifar(path) for path in paths]
    Z, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Images(Z, y, f"{directory} ({', '.join(map(os.path.basename, paths))})")


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
    check_shape(images, model.pixel_shape)
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
