"""Comparison of training and test images with those that a model was trained and tested on."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..io import Model
from .datasets import DataSet, Images
from .options import UsageError
from .settings import DATA_NAMES, DIGITS, SPLIT_NAMES, TEST_FRACTION

LEAK = "some of the test images may have been trained on"

Fingerprint = dict[str, int]


def fingerprint(images: Images | None) -> Fingerprint | None:
    """Return the number of images and a checksum of their pixels and labels.

    Examples
    --------
    >>> fingerprint(Images(np.zeros((2, 1, 1, 1)), np.array([0, 1]), "zeros"))
    {'images': 2, 'crc32': 452883127}
    """
    if images is None:
        return None
    crc = 0
    for array in (images.pixels, images.y):
        if array is not None:
            crc = zlib.crc32(f"{array.dtype.str} {array.shape}".encode(), crc)
            crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc)
    return {"images": len(images), "crc32": crc}


def fingerprints(data: DataSet) -> dict[str, Fingerprint | None]:
    """Return the fingerprints of training and test images for a model file."""
    return {"train": fingerprint(data.train), "test": fingerprint(data.test)}


def recorded_fingerprint(record: dict[str, Any] | None, part: str) -> Fingerprint | None:
    """Return the fingerprint of a part, "train" or "test", in a training record, or None."""
    parts = (record or {}).get("fingerprints")
    found = parts.get(part) if isinstance(parts, dict) else None
    return found if isinstance(found, dict) else None


@dataclass
class Split:
    """Comparison of the images of a training with those of the training that it continues.

    Attributes
    ----------
    parts : dict
        Result of `fingerprints`.
    leak : bool
        Whether test images may have been trained on.
    notes : list of str
        Texts about differences.
    """

    parts: dict[str, Fingerprint | None]
    leak: bool = False
    notes: list[str] = field(default_factory=list)


def compare(
    data: DataSet,
    chosen: dict[str, Any],
    resume: str,
    before: Model,
    found: dict[str, Any],
    new_split: bool,
) -> Split:
    """Return the split of a training that continues from a model.

    Parameters
    ----------
    data : DataSet
        The images of this training.
    chosen, found : dict
        The settings of this training, and those in the model file.
    resume : str
        Name of the model file.
    before : Model
        Content of the model file.
    new_split : bool
        Whether test images other than those before are accepted.

    Raises
    ------
    UsageError, ValueError
        If the test images have changed and `new_split` is False.
    """
    split = Split(fingerprints(data))
    record = before.training or {}
    split.leak = record.get("new_split") is True and data.test is not None
    if not found:
        if data.test is not None:
            split.leak = True
            split.notes.append(f"{resume} does not say which images it was trained on")
    elif not _same_test_images(split.parts, chosen, found, record):
        if not new_split:
            raise _refusal(data, chosen, resume, found, record)
        split.leak = data.test is not None
    elif split.parts["train"] != recorded_fingerprint(record, "train") is not None:
        then, now = recorded_fingerprint(record, "train"), len(data.train)
        split.notes.append(
            f"the training images are not those that {resume} was trained on "
            f"({(then or {}).get('images')} then, {now} now)"
        )
    if split.leak:
        split.notes.append(LEAK)
    return split


def _same_test_images(
    parts: dict[str, Fingerprint | None],
    chosen: dict[str, Any],
    found: dict[str, Any],
    record: dict[str, Any],
) -> bool:
    if isinstance(record.get("fingerprints"), dict):
        return parts["test"] == recorded_fingerprint(record, "test")
    # a file without fingerprints: compare the names and the number of images
    usual = {"data": DIGITS, "test_fraction": TEST_FRACTION, "split_seed": 0}
    same = all(_value(chosen, name, usual) == _value(found, name, usual) for name in SPLIT_NAMES)
    count = record.get("images")
    return same and (count is None or count == (parts["train"] or {}).get("images"))


def _value(settings: dict[str, Any], name: str, usual: dict[str, Any]) -> Any:
    value = settings.get(name)
    return usual.get(name) if value is None else value


def _refusal(
    data: DataSet,
    chosen: dict[str, Any],
    resume: str,
    found: dict[str, Any],
    record: dict[str, Any],
) -> Exception:
    """Return the error if the options, or a change of a file, give other test images."""
    asked = any(chosen[name] != found.get(name) for name in DATA_NAMES if chosen[name] is not None)
    then = recorded_fingerprint(record, "test")
    before = f"{then['images']} then, " if then and "images" in then else ""
    if data.test is None:
        text = f"the test images of {resume} ({before}none now) would be trained on"
    else:
        now = f"{before}now {len(data.test)}: {data.test.name}"
        text = f"the test images are not those of {resume} ({now}); some may have been trained on"
    text += "; --new-split accepts this"
    if asked:
        return UsageError(text)
    return ValueError(f"{chosen['data']} has changed since the training: {text}")


def evaluation_notes(model: Model, images: Images, part: str | None = None) -> list[str]:
    """Return notes that limit what an evaluation says about a model.

    Parameters
    ----------
    model : Model
    images : Images
        Images of the evaluation, taken from the files that the model file names.
    part : {"train", "test"}, optional
        The part that they belong to. By default the test part, if there is one.
    """
    record = model.training or {}
    if part is None:
        part = "test" if recorded_fingerprint(record, "test") else "train"
    notes = []
    then = recorded_fingerprint(record, part)
    if then is not None and then != fingerprint(images):
        notes.append("the images have changed since the training")
        if part != "train":
            notes.append(LEAK)
    elif record.get("new_split") is True and part != "train":
        notes.append(LEAK)
    return notes
