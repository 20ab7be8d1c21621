"""A network with its weights as the bytes that compiled code opens.

The format is that of `matconv.kernels.exported`: words of 8 bytes, numbers as theta holds them, a
CRC-32 at the end.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from .kernels.algorithms import as_algorithm
from .kernels.geometry import as_size
from .layers import AvgPool, BoundLayer, Conv, Dense, Layer, MaxPool

MAGIC = b"\x89matcnv\n"
VERSION = 1
MOST_LAYERS = 4096
MOST_IMAGES = 65536

KINDS = {Conv: 1, Dense: 2, MaxPool: 3, AvgPool: 4}
ACTIVATIONS = {None: 0, "relu": 1}


def encode(
    input_shape: tuple[int, ...],
    layers: tuple[Layer, ...],
    bound: list[BoundLayer],
    parameters: list[tuple[Any, Any]],
    dtype: np.dtype,
    algorithm: str,
    images: int,
) -> bytes:
    """The bytes of a network.

    Parameters
    ----------
    input_shape : (height, width, channels)
    layers, bound : the layers as described, and on their images
    parameters : list of (W, b), or (None, None)
        Of each layer, in `dtype`.
    dtype : float64 or float32
    algorithm : str
        Of the convolutions that do not name their own.
    images : int
        Of a usual call: what "auto" chooses for.

    Raises
    ------
    TypeError, ValueError
        ``images`` is not an integer from 1 to 65536; there are too many layers; the format does
        not know the class of a layer (a subclass may compute something else) or its activation.
    """
    images = as_size("Network", "images", images)
    if not 1 <= images <= MOST_IMAGES:
        raise ValueError(f"Network: images must be from 1 to {MOST_IMAGES}, got {images}")
    if len(layers) > MOST_LAYERS:
        raise ValueError(f"Network: a file holds at most {MOST_LAYERS} layers, got {len(layers)}")
    records = [_record(k, *each, algorithm) for k, each in enumerate(zip(layers, bound))]
    arrays = [array for pair in parameters for array in pair if array is not None]
    weights = b"".join(
        array.astype(f"<f{dtype.itemsize}", copy=False).tobytes() for array in arrays
    )
    weights += bytes(-len(weights) % 8)
    size = 8 * (10 + 16 * len(records) + 1) + len(weights)
    words = [VERSION, size, dtype.itemsize, len(records), images, *input_shape, 0]
    for record in records:
        words += record
    data = MAGIC + np.array(words, "<i8").tobytes() + weights
    return data + np.array([zlib.crc32(data)], "<i8").tobytes()


def _record(k: int, layer: Layer, bound: BoundLayer, algorithm: str) -> list[int]:
    """The 16 words of layer k."""
    name = f"Network: layer {k} ({layer.kind}) cannot be exported"
    if type(layer) not in KINDS:
        known = ", ".join(cls.__name__ for cls in KINDS)
        raise TypeError(f"{name}: its class must be one of {known}, got {type(layer).__qualname__}")
    activation = getattr(layer, "activation", None)
    if activation not in ACTIVATIONS:
        raise ValueError(f"{name}: activation must be 'relu' or None, got {activation!r}")
    geometry = bound.geometry
    own = 0
    if layer.kind == "Conv":
        own = as_algorithm("Network", getattr(layer, "algorithm", None) or algorithm)
    (top, bottom), (left, right) = geometry.pad
    return [
        KINDS[type(layer)],
        ACTIVATIONS[activation],
        own,
        geometry.out_shape[3],
        geometry.groups,
        *geometry.kernel,
        *geometry.stride,
        top,
        bottom,
        left,
        right,
        *geometry.dilation,
        0,
    ]
