"""Encoding of the description of a network as bytes, which compiled code reads.

``kernels/_description.pxd`` documents the format.
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
# magic bytes, version, total size in bytes, bytes of an element, number of steps, usual number of
# images, height, width, channels, number of outputs, elements of theta, whether theta follows
HEADER = struct.Struct("<8s11q")
# limits of compiled code
MAX_STEPS = 4096
MAX_IMAGES = 65536
MAX_ELEMENTS = sys.maxsize >> 24  # of a value, per image
MAX_PARAMETERS = sys.maxsize // 16

# status that compiled code returns if a sum or product of sizes overflows
OVERFLOW = 4

# code of an activation in a description
NO_ACTIVATION, RELU, LEAKY, CLIP = range(4)
SIGMOID, TANH, SOFTPLUS, ELU_CODE, HARD_SIGMOID, SILU, HARD_SWISH, GELU = range(4, 12)


class Record(NamedTuple):
    """A step of a description.

    Attributes
    ----------
    operation : str
        Name of the operation, up to 16 ASCII characters.
    inputs : sequence of int
        Numbers of the values that the step reads: 0 is the image, k + 1 the output of step k.
    words : sequence of int
    numbers : sequence of float
        Sizes and options of the operation, which its file in ``kernels/ops`` documents.
    activation : (code, alpha, beta)
    owner : int, optional
        Index of the step whose parameters this one uses; None if it uses its own or has none.
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
    """Return the description of a network as bytes.

    Parameters
    ----------
    input_shape : (height, width, channels)
    records : sequence of Record
    outputs : sequence of int
        Numbers of the values that are outputs.
    n : int
        Number of elements of theta.
    dtype : float64 or float32
    images : int
        Usual number of images of a call, for which algorithms are chosen.
    theta : ndarray, shape (n,), optional
        Parameters, written after the records.

    Returns
    -------
    description : bytes
    """
    content = b"" if theta is None else theta.astype(f"<f{dtype.itemsize}", copy=False).tobytes()
    parts = [
        struct.pack(f"<{len(outputs)}q", *outputs),
        *map(_record_bytes, records),
        content,
        bytes(-len(content) % 8),
    ]
    head = (dtype.itemsize, len(records), images, *input_shape, len(outputs), n, theta is not None)
    size = HEADER.size + sum(map(len, parts)) + 8
    parts.insert(0, HEADER.pack(MAGIC, VERSION, size, *head))
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return b"".join([*parts, struct.pack("<q", checksum)])


def _record_bytes(record: Record) -> bytes:
    integers, floats = [*record.inputs, *record.words], record.numbers
    return struct.pack(
        f"<q16sq2d4q{len(integers)}q{len(floats)}d",
        10 + len(integers) + len(floats),
        record.operation.encode("ascii"),
        *record.activation,
        0 if record.owner is None else record.owner + 1,
        *(len(record.inputs), len(record.words), len(record.numbers)),
        *integers,
        *floats,
    )
