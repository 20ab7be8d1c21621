"""The description of a network as bytes: what compiled code makes a program from.

`matconv.kernels._description` has the format.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

MAGIC = b"\x89matcnv\n"
VERSION = 2
# limits of compiled code
MAX_STEPS = 4096
MAX_IMAGES = 65536
MAX_ELEMENTS = sys.maxsize >> 24  # of one image's part of a value
MAX_PARAMETERS = sys.maxsize // 16

# status of compiled code that refuses sizes because a sum or product of them overflows
OVERFLOW = 4

# code of an activation in a description
NO_ACTIVATION, RELU, LEAKY, CLIP = range(4)


class Record(NamedTuple):
    """One step of a description.

    Attributes
    ----------
    operation : str
        Its name, up to 16 ASCII characters.
    inputs : sequence of int
        Values that it reads: 0 is the image, k + 1 what step k makes.
    words : sequence of int
    numbers : sequence of float
        Of the operation: see ``kernels/ops``.
    activation : (code, a, b)
    owner : int, optional
        Step whose parameters it uses; None: its own, if it has any.
    """

    operation: str
    inputs: Sequence[int]
    words: Sequence[int] = ()
    numbers: Sequence[float] = ()
    activation: tuple[int, float, float] = (NO_ACTIVATION, 0.0, 0.0)
    owner: int | None = None


def encode(
    input_shape: Sequence[int],
    records: Sequence[Record],
    outputs: Sequence[int],
    n: int,
    dtype: np.dtype[Any],
    images: int = 1,
    theta: np.ndarray | None = None,
) -> bytes:
    """Return the description of a network.

    Parameters
    ----------
    input_shape : (height, width, channels)
    records : sequence of Record
    outputs : sequence of int
        Values.
    n : int
        Number of elements of theta.
    dtype : float64 or float32
    images : int
        Of a usual call: what the algorithms are chosen for.
    theta : ndarray, shape (n,), optional
        Written behind the records.

    Returns
    -------
    description : bytes
    """
    body = np.concatenate([np.asarray(outputs, "<i8"), *map(_record_words, records)])
    numbers = b"" if theta is None else theta.astype(f"<f{dtype.itemsize}", copy=False).tobytes()
    numbers += bytes(-len(numbers) % 8)
    size = len(MAGIC) + 8 * (11 + len(body)) + len(numbers) + 8
    header = [VERSION, size, dtype.itemsize, len(records), images, *input_shape, len(outputs), n]
    header.append(0 if theta is None else 1)
    data = MAGIC + np.array(header, "<i8").tobytes() + body.tobytes() + numbers
    return data + np.array([zlib.crc32(data)], "<i8").tobytes()


def _record_words(record: Record) -> np.ndarray:
    code, a, b = record.activation
    integers = [*record.inputs, *record.words]
    name = np.frombuffer(record.operation.encode("ascii").ljust(16, b"\0"), "<i8")
    floats = np.frombuffer(struct.pack(f"<{len(record.numbers)}d", *record.numbers), "<i8")
    words = np.concatenate(
        [
            [10 + len(integers) + len(floats)],
            name,
            [code],
            np.frombuffer(struct.pack("<2d", a, b), "<i8"),
            [0 if record.owner is None else record.owner + 1],
            [len(record.inputs), len(record.words), len(record.numbers)],
            np.array(integers, "<i8"),
            floats,
        ]
    )
    return words.astype("<i8")
