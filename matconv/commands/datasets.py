"""Images and labels of the options --data, --labels, --test-data and --test-labels."""

from __future__ import annotations

import argparse
import errno
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..data import load_digits
from ..files.errors import format_error
from ..graph import shape_text
from ..io import (
    FormatError,
    Model,
    cifar,
    kinds,
    npz,
    pictures,
    read_cifar,
    read_idx,
    read_idx_images,
    read_images_mat,
    read_images_npz,
    read_npy,
    read_pictures,
    read_simplenn_data,
    simplenn,
)
from .mnist import find_pairs
from .options import UsageError
from .settings import DATA_NAMES, DIGITS, TEST_FRACTION

# names of formats in messages
KINDS = {"idx": "IDX", "npy": ".npy"}


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
    """

    pixels: np.ndarray
    y: np.ndarray | None
    name: str
    classes: tuple[str, ...] | None = None
    files: tuple[str, ...] | None = None

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
        files = None if self.files is None else tuple(self.files[k] for k in indices)
        return Images(self.pixels[indices], y, f"{self.name} ({what})", self.classes, files)


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training images and, optionally, test images."""

    train: Images
    test: Images | None = None


class _Wanted(NamedTuple):
    """What is known of images that are to be read.

    Attributes
    ----------
    model : Model or None
        The model that they are for; pictures get the size that it needs.
    shape : (height, width, channels) or None
        Their shape, for files that do not say it.
    order : "column" or "row"
        Order of the pixels in such files.
    """

    model: Model | None
    shape: tuple[int, ...] | None
    order: str


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
    wanted = _Wanted(model, shape, pixel_order or simplenn.ORDERS[0])
    if data == DIGITS or os.path.isdir(data):
        if labels is not None:
            raise UsageError(f"--labels goes with an IDX file, not with --data {data}")
        whole = DataSet(*_digits()) if data == DIGITS else _directory(data, wanted)
        train, test = whole.train, whole.test
    else:
        train, test = _file(data, labels, labelled, "--labels", wanted), None
    if test_data is not None:
        if os.path.isdir(test_data) and test_labels is None:
            test = _directory(test_data, wanted).train
        else:
            test = _file(test_data, test_labels, labelled, "--test-labels", wanted)
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
        if arguments.pixel_order is not None:
            raise UsageError("--pixel-order goes with --data")
        check_recorded(names, arguments.model)
        whole = load(**{"data": DIGITS, **names}, seed=before.get("split_seed", 0), model=model)
    else:
        whole = load(
            arguments.data,
            arguments.labels,
            test_fraction=0,
            labelled=labelled,
            model=model,
            pixel_order=arguments.pixel_order or before.get("pixel_order"),
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


def _file(path: str, labels: str | None, labelled: bool, option: str, wanted: _Wanted) -> Images:
    kind = kinds.file_kind(path)
    if labels is not None and kind in ("npz", "mat", "picture", "libsvm"):
        name = {"picture": "picture", "libsvm": "LIBSVM file"}.get(kind, f".{kind} file")
        raise UsageError(f"{option} goes with an IDX file, not with the {name} {path}")
    if kind == "npz":
        if not labelled and (pixels := _unlabelled(path)) is not None:
            return Images(pixels, None, path)
        return Images(*read_images_npz(path), path)
    if kind in ("mat", "picture", "libsvm", "unknown"):
        found = _other(path, kind, wanted)
        if labelled and found.y is None:
            raise ValueError(f"{path} has no labels")
        return found
    if kind not in ("idx", "npy"):
        raise format_error(path, "expected images, got an exported network")
    if labels is None and labelled:
        raise UsageError(f"{option} is needed: the {KINDS[kind]} file {path} holds images only")
    if kind == "idx" and labels is not None and kinds.file_kind(labels) == "idx":
        return Images(*read_idx_images(path, labels), path)
    pixels = _as_images(path, read_idx(path) if kind == "idx" else read_npy(path), kind == "npy")
    return Images(pixels, None if labels is None else _labels(labels, len(pixels)), path)


def _as_images(path: str, pixels: np.ndarray, colour: bool) -> np.ndarray:
    """Return an array with 3 dimensions, or with 4 if there may be colours, as images."""
    if pixels.ndim not in (3, 4 if colour else 3):
        expected = "3 or 4 dimensions" if colour else "3 dimensions"
        raise format_error(path, f"images have {expected}, got {pixels.ndim}: {pixels.shape}")
    return pixels[..., np.newaxis] if pixels.ndim == 3 else pixels


def _labels(path: str, count: int) -> np.ndarray:
    """Return the labels of an IDX or .npy file."""
    y = read_npy(path) if kinds.file_kind(path) == "npy" else read_idx(path)
    if y.ndim != 1 or y.dtype.kind not in "iu" or len(y) != count:
        raise format_error(
            path, f"expected {count} labels, integers of shape ({count},), got {y.dtype} {y.shape}"
        )
    return y.astype(np.int64)


def _other(path: str, kind: str, wanted: _Wanted) -> Images:
    """Return the images of a MATLAB file, of a picture, or of a file of LIBSVM or CIFAR."""
    if kind == "mat":
        return Images(*read_images_mat(path, wanted.shape, wanted.order), path)
    if kind == "libsvm":
        if wanted.shape is None:
            raise UsageError(f"--input-shape is needed: the LIBSVM file {path} does not say it")
        return Images(*read_simplenn_data(path, wanted.shape, wanted.order), path)
    if kind == "picture":
        return _pictures([path], path, wanted.model)
    if cifar.cifar_labels(os.stat(path).st_size) is None:
        raise format_error(
            path,
            "expected an .npz file with Z and y, an IDX file, an .npy file, a MATLAB file with X "
            "or Z and y, a PNG or JPEG picture, or a file of CIFAR or LIBSVM",
        )
    return Images(*read_cifar(path), path)


def _pictures(paths: list[str], name: str, model: Model | None) -> Images:
    """Return pictures, in the size that a model needs."""
    if model is None:
        pixels = read_pictures(paths)
    else:
        shape = model.pixel_shape
        pixels = read_pictures(paths, shape[2], shape[:2], model.preprocessing)
    return Images(pixels, None, name, files=tuple(paths))


def _unlabelled(path: str) -> np.ndarray | None:
    """Return the images of an .npz file without labels; None if it has any array but Z."""
    with npz.open_npz(path) as arrays:
        if set(arrays.headers) != {"Z"}:
            return None
        pixels = arrays.read("Z")
    return pixels[..., np.newaxis] if pixels.ndim == 3 else pixels


def _directory(directory: str, wanted: _Wanted) -> DataSet:
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
    except FileNotFoundError:
        found = _picture_directory(directory, wanted.model)
        if found is None:
            raise
        return DataSet(found)
    return DataSet(
        Images(*read_idx_images(*first), f"{directory} (train)"),
        second and Images(*read_idx_images(*second), f"{directory} (test)"),
    )


def _picture_directory(directory: str, model: Model | None) -> Images | None:
    """Return the pictures of a directory, or of its subdirectories, one for each class."""
    if classes := pictures.picture_classes(directory):
        found = _pictures([path for paths in classes.values() for path in paths], directory, model)
        counts = [len(paths) for paths in classes.values()]
        y = np.repeat(np.arange(len(classes)), counts)
        return replace(found, y=y, classes=tuple(classes))
    if paths := pictures.list_pictures(directory):
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
