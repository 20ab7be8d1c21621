"""Search for the files of MNIST and similar data sets in a directory.

Names that a file may have:

    train-images-idx3-ubyte        as published; with .gz if compressed
    train-images.idx3-ubyte        of some archive programs and mirrors
    test-images-idx3-ubyte         instead of t10k-...
    TRAIN-IMAGES-IDX3-UBYTE        of systems that ignore case
    emnist-letters-train-images-idx3-ubyte
"""

from __future__ import annotations

import errno
import os
import re
from typing import NamedTuple

from ..files.errors import format_error

__all__ = ["Pair", "find_pairs"]

_NAME = re.compile(
    r"(?P<prefix>(?:.*[-_. ])?)(?P<part>train|t10k|test)[-_. ]?(?P<kind>images|labels)"
    r"(?:[-_.]idx[13]?)?(?:[-_.]ubyte)?(?P<gz>\.gz)?",
    re.IGNORECASE | re.DOTALL,
)
_USUAL = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("t10k", "images"): "t10k-images-idx3-ubyte",
    ("t10k", "labels"): "t10k-labels-idx1-ubyte",
}
_SHOWN = 5


class Pair(NamedTuple):
    """Paths of the images and the labels of one part."""

    images: str
    labels: str


class _Found(NamedTuple):
    """A file that was found. Of several files for the same array, the minimum is used."""

    compressed: bool
    unusual: bool
    path: str


def find_pairs(directory: str) -> tuple[Pair, Pair | None]:
    """Find the training files and the test files in a directory.

    Parameters
    ----------
    directory : str

    Returns
    -------
    train : Pair
    test : Pair or None
        None without test files.

    Raises
    ------
    FileNotFoundError
        If a file is missing. The error has the directory and the expected names.
    FormatError
        If there are several sets with different prefixes, and none without a prefix.
    OSError
        If the directory cannot be read.
    """
    sets: dict[str, dict[tuple[str, str], _Found]] = {}
    names = sorted(entry.name for entry in os.scandir(directory))
    for name in names:
        match = _NAME.fullmatch(name)
        path = os.path.join(directory, name)
        if match is None or not os.path.isfile(path):
            continue
        part = "train" if match["part"].lower() == "train" else "t10k"
        key = part, match["kind"].lower()
        usual = name.removesuffix(".gz") == _USUAL[key]
        found = _Found(match["gz"] is not None, not usual, path)
        files = sets.setdefault(match["prefix"].lower(), {})
        files[key] = min(found, files.get(key, found))
    files = sets[_one_prefix(directory, sets)] if sets else {}
    train = _pair(directory, files, "train", names)
    has_test = ("t10k", "images") in files or ("t10k", "labels") in files
    return train, _pair(directory, files, "t10k", names) if has_test else None


def _one_prefix(directory: str, sets: dict[str, dict[tuple[str, str], _Found]]) -> str:
    """Return the prefix of the set to use: "", or the only one with training images."""
    if ("train", "images") in sets.get("", {}):
        return ""
    complete = [prefix for prefix, files in sets.items() if ("train", "images") in files]
    if len(complete) > 1:
        raise format_error(
            directory,
            f"several sets of images ({', '.join(f'{p}train-images' for p in complete[:_SHOWN])}"
            f"{', ...' if len(complete) > _SHOWN else ''}), expected one in a directory",
        )
    return complete[0] if complete else min(sets)


def _pair(
    directory: str, files: dict[tuple[str, str], _Found], part: str, names: list[str]
) -> Pair:
    wanted = [(part, "images"), (part, "labels")]
    missing = [_USUAL[key] for key in wanted if key not in files]
    if missing:
        shown = ", ".join(map(repr, names[:_SHOWN])) or "nothing"
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise FileNotFoundError(
            errno.ENOENT,
            f"No such file in this directory: looked for {' and '.join(missing)}, or the same "
            f"with dots (-images.idx3-ubyte), 'test' for 't10k', upper case, a prefix "
            f"(emnist-letters-) or .gz; it holds {shown}{more}",
            directory,
        )
    return Pair(*(files[key].path for key in wanted))
