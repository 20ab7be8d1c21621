"""The header of a model file: a JSON object, its entries, and its checksum.

    format          "matconv-model"
    format_version  2
    network         the result of Network.description()
    labels          a string or an integer for each output, or null
    preprocessing   {"shift": s, "scale": c} for Z = (pixels - s) * c, with the further entries that
                    `matconv.io.preparing` describes, or null
    pixels          {"dtype": name, "min": x, "max": y} of the training images, or null
    training        the training record (see `matconv.io.record`), or null
    sha256          checksum of theta's bytes (little-endian), followed by the text of this object
                    without this entry, as `to_text` returns it

It is strict JSON, except for NaN and infinities in `training`.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import shortened
from matconv.io.pixels import pixels_problem
from matconv.io.plain import encode, exact
from matconv.io.preparing import as_preprocessing, preprocessing_problem
from matconv.io.record import fitted
from matconv.network import Network

__all__ = [
    "FORMAT_VERSION",
    "MAX_BYTES",
    "add_training",
    "check_header",
    "digest",
    "make_header",
    "parse_header",
    "to_text",
]

FORMAT = "matconv-model"
FORMAT_VERSION = 2
MAX_BYTES = 16 * 2**20
# all entries except the training record
_MAX_FIXED_BYTES = MAX_BYTES // 2
_SHA256_BYTES = 100

_KEYS = frozenset(
    (
        "format",
        "format_version",
        "network",
        "labels",
        "preprocessing",
        "pixels",
        "training",
        "sha256",
    )
)


def to_text(header: dict[str, Any]) -> bytes:
    """Return the ASCII text of a header, which is hashed and written."""
    return encode(header).encode("ascii")


def digest(theta: np.ndarray, header: dict[str, Any]) -> str:
    """Return the SHA-256, in hexadecimal, of theta and of the header without its "sha256"."""
    numbers = np.ascontiguousarray(theta, theta.dtype.newbyteorder("<"))
    result = hashlib.sha256(numbers.view(np.uint8).data)
    result.update(to_text({key: value for key, value in header.items() if key != "sha256"}))
    return result.hexdigest()


def _check_labels(labels: Any, outputs: int) -> str | None:
    """Return a text about an error in the labels of ``outputs`` outputs, or None."""
    if not isinstance(labels, list):
        return "expected a list or null"
    for kind in (str, int):
        if labels and all(isinstance(x, kind) and not isinstance(x, bool) for x in labels):
            break
    else:
        return "must be all str or all int"
    if len(labels) != outputs:
        return f"{len(labels)} labels, the network has {outputs} outputs"
    if kind is int and not all(-(2**63) <= label < 2**63 for label in labels):
        return "an integer beyond 64 bits"
    return None


def make_header(
    net: Network,
    labels: Iterable[Any] | None,
    preprocessing: dict[str, Any] | None,
    pixels: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return a header without its training record (None) and checksum (missing).

    Raises
    ------
    TypeError, ValueError
        If one of the entries cannot be saved.
    """
    if labels is not None:
        labels = exact(list(labels), "labels")
        problem = _check_labels(labels, net.n_outputs)
        if problem:
            raise ValueError(f"save_model: labels: {problem}")
    if preprocessing is not None:
        preprocessing = exact(preprocessing, "preprocessing")
        problem = preprocessing_problem(preprocessing, net.input_shape)
        if problem:
            raise ValueError(f"save_model: preprocessing: {problem}")
        preprocessing = as_preprocessing(preprocessing)
    if pixels is not None:
        pixels = exact(pixels, "pixels")
        problem = pixels_problem(pixels)
        if problem:
            raise ValueError(f"save_model: pixels: {problem}")
        pixels = {**pixels, "min": float(pixels["min"]), "max": float(pixels["max"])}
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "network": exact(net.description(), "network"),
        "labels": labels,
        "preprocessing": preprocessing,
        "pixels": pixels,
        "training": None,
    }
    length = len(to_text(header))
    if length > _MAX_FIXED_BYTES:
        raise ValueError(
            f"save_model: the network and its labels take {length} bytes of the header, the limit "
            f"is {_MAX_FIXED_BYTES}"
        )
    return header


def add_training(header: dict[str, Any], training: Any) -> list[str]:
    """Add a training record to a header, reduced to the size left; return texts for warnings.

    Raises
    ------
    TypeError
        If the record is not a dict.
    """
    if training is None:
        return []
    if not isinstance(training, dict):
        raise TypeError(f"save_model: training must be a dict, got {type(training).__name__}")
    left = MAX_BYTES - len(to_text(header)) - _SHA256_BYTES
    header["training"], problems = fitted(training, left)
    return problems


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; raise ValueError if a key occurs twice."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {shortened(repr(key))} comes twice")
        result[key] = value
    return result


def parse_header(path: FilePath, content: np.ndarray) -> dict[str, Any]:
    """Return the header as a dict, with its keys and its format version checked."""
    try:
        header = json.loads(content.tobytes().decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise format_error(path, f"'header' is not JSON: {shortened(error, 200)}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise format_error(path, f"not a model file: 'header' does not say format {FORMAT!r}")
    version = header.get("format_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise format_error(path, f"format version {shortened(version)} is not a version")
    if version != FORMAT_VERSION:
        age = "newer" if version > FORMAT_VERSION else "older"
        raise format_error(
            path,
            f"format version {shortened(version)} is {age} than {FORMAT_VERSION}, the only one "
            f"that this matconv reads",
        )
    problems = [f"lacks {key!r}" for key in sorted(_KEYS - set(header))]
    problems += [f"has an unexpected {key!r}" for key in sorted(set(header) - _KEYS)]
    if problems:
        raise format_error(path, f"'header': {shortened(', '.join(problems), 400)}")
    return header


def check_header(path: FilePath, header: dict[str, Any], net: Network) -> None:
    """Raise FormatError unless the entries of a header fit the network."""
    labels, preprocessing = header["labels"], header["preprocessing"]
    pixels = header["pixels"]
    problems = {
        "labels": labels is not None and _check_labels(labels, net.n_outputs),
        "preprocessing": preprocessing is not None
        and preprocessing_problem(preprocessing, net.input_shape),
        "pixels": pixels is not None and pixels_problem(pixels),
        "training": not isinstance(header["training"], dict | None)
        and "expected an object or null",
    }
    for key, problem in problems.items():
        if problem:
            raise format_error(path, f"'header': {key}: {problem}")
