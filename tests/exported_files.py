"""Files of exported networks, written and understood by hand from the documented format.

Nothing here asks the library what it thinks: a word is 8 bytes, little-endian; ten words of
header, sixteen for each layer, the numbers, zeros up to a word, the CRC-32 of all before it.
"""

import struct
import zlib
from math import prod
from typing import NamedTuple

import numpy as np

MAGIC = b"\x89matcnv\n"
HEADER, LAYER = 10, 16
CONV, DENSE, MAX_POOL, AVG_POOL = 1, 2, 3, 4
MOST = 2**63 - 1
INT_MAX = 2**31 - 1
AT_ONCE = 2**19  # numbers between two layers, or twice the weights'
MOST_AT_ONCE = 256  # images


def words(*values):
    """Integers from -2**63 to 2**64 - 1 as words."""
    return b"".join((value % 2**64).to_bytes(8, "little") for value in values)


def signed(data):
    """With the CRC-32 of all of it."""
    return data + struct.pack("<Q", zlib.crc32(data))


def resigned(data):
    """With its last word made right."""
    return signed(bytes(data[:-8]))


def with_word(data, k, value):
    """With another number in word k, and a CRC that agrees."""
    return resigned(data[: 8 * k] + words(value) + data[8 * k + 8 :])


def word(data, k):
    """Word k as a signed number."""
    return struct.unpack_from("<q", data, 8 * k)[0]


def record(
    kind, channels, kernel=(1, 1), stride=(1, 1), pad=(0, 0, 0, 0), dilation=(1, 1), groups=1,
    relu=0, algorithm=0,
):  # fmt: skip
    """The sixteen numbers of a layer."""
    return (
        kind, relu, algorithm, channels, groups, *kernel, *stride, *pad, *dilation, 0,
    )  # fmt: skip


def exported(shape, records, arrays, dtype="float64", images=1, version=1):
    """The bytes of a file."""
    numbers = b"".join(np.asarray(array, dtype).tobytes() for array in arrays)
    numbers += bytes(-len(numbers) % 8)
    size = 8 * (HEADER + LAYER * len(records) + 1) + len(numbers)
    header = (version, size, np.dtype(dtype).itemsize, len(records), images, *shape, 0)
    rows = [number for row in records for number in row]
    return signed(MAGIC + words(*header, *rows) + numbers)


class Understood(NamedTuple):
    """What a file says. Python's integers are exact, so nothing here wraps."""

    input_shape: tuple
    output_shape: tuple
    kind: int  # of the last layer
    item_size: int
    work: int  # multiply-adds and numbers moved for one image


class _Layer(NamedTuple):
    output_shape: tuple
    parameters: int
    largest: int  # array of one image
    work: int


def understood(data):
    """What a file says; None: it must be refused."""
    if len(data) < 88 or len(data) % 8 or data[:8] != MAGIC or word(data, 1) != 1:
        return None
    if word(data, 2) != len(data) or data != resigned(data):
        return None
    item_size, count, images, *shape, zero = (word(data, k) for k in range(3, HEADER))
    if item_size not in (4, 8) or not 1 <= count <= 4096 or not 1 <= images <= 65536 or zero:
        return None
    if len(data) < 8 * (HEADER + LAYER * count + 1):
        return None
    given, layers = tuple(shape), []
    for k in range(count):
        layer = layer_of(shape, row(data, k))
        if layer is None:
            return None
        shape = layer.output_shape
        layers.append(layer)
    end = place_of_numbers(data) + sum(layer.parameters for layer in layers) * item_size
    if len(data) != -(-end // 8) * 8 + 8 or any(data[end:-8]):
        return None
    between = [prod(layer.output_shape) for layer in layers[:-1]]
    at_once = max(AT_ONCE, len(data) // item_size * 2) // max([1, *between])
    at_once = min(max(at_once, 1), MOST_AT_ONCE)
    if max(layer.largest for layer in layers) * 8 * at_once > MOST:
        return None
    work = sum(layer.work for layer in layers)
    return Understood(given, tuple(shape), row(data, count - 1)[0], item_size, work)


def row(data, k):
    """The sixteen numbers of layer k."""
    return [word(data, HEADER + LAYER * k + i) for i in range(LAYER)]


def place_of_numbers(data):
    """Where the parameters begin: behind as many layers as the header says."""
    return 8 * (HEADER + LAYER * word(data, 4))


def layer_of(shape, numbers):
    """What sixteen numbers say of a layer on images of that shape; None: nothing."""
    kind, relu, algorithm, channels, groups, *window, zero = numbers
    h, s, pad, dilation = window[:2], window[2:4], (window[4:6], window[6:8]), window[8:10]
    if kind not in (CONV, DENSE, MAX_POOL, AVG_POOL) or relu not in (0, 1) or zero:
        return None
    if not 0 <= algorithm <= (2 if kind == CONV else 0) or (relu and kind in (MAX_POOL, AVG_POOL)):
        return None
    if kind == DENSE:
        if window != [1, 1, 1, 1, 0, 0, 0, 0, 1, 1] or groups != 1:
            return None
        shape = (1, 1, prod(shape))
    if min(*shape, channels, groups, *h, *s, *dilation) < 1 or min(*pad[0], *pad[1]) < 0:
        return None
    if shape[2] % groups or channels % groups:
        return None
    if kind in (MAX_POOL, AVG_POOL):
        padded = any(side >= size for sides, size in zip(pad, h) for side in sides)
        if groups != 1 or channels != shape[2] or padded or dilation != [1, 1]:
            return None
        if shape[0] * shape[1] > INT_MAX:
            return None
    out = []
    for n, sides, size, step, e in zip(shape, pad, h, s, dilation):
        extent = (size - 1) * e + 1
        if n + sum(sides) > MOST or extent > n + sum(sides):
            return None
        out.append((n + sum(sides) - extent) // step + 1)
    K = h[0] * h[1] * (shape[2] // groups)
    if max(K, channels, shape[2]) > INT_MAX or K * channels * 8 > MOST:
        return None
    outputs = prod(out) * channels
    largest = max(prod(shape), outputs)
    if largest * 8 > MOST:
        return None
    parameters = 0 if kind in (MAX_POOL, AVG_POOL) else (K + 1) * channels
    return _Layer((*out, channels), parameters, largest, outputs * K + prod(shape))


# A network of every kind of layer, with integers as parameters: a conv of 2 filters and a ReLU, a
# max-pool and a mean with padding, a dense layer.
SHAPE = (4, 5, 2)
RECORDS = (
    record(CONV, 2, (2, 3), (1, 1), (1, 0, 0, 1), groups=2, relu=1, algorithm=1),
    record(MAX_POOL, 2, (2, 2), (2, 1)),
    record(AVG_POOL, 2, (2, 1), (2, 1), (0, 1, 0, 0)),
    record(DENSE, 3),
)


def arrays():
    """W, b of the conv (1, 2, 3, 2), (2,); W, b of the dense layer (6, 3), (3,)."""
    W = np.arange(12).reshape(1, 2, 3, 2) % 5 - 2
    dense = np.arange(18).reshape(6, 3) % 7 - 3
    return W, np.array([1, -2]), dense, np.array([5, 0, -5])


def small(dtype="float64", **changes):
    return exported(SHAPE, RECORDS, arrays(), dtype, **changes)


def computed(Z):
    """What the small network makes of one image of integers, by plain loops."""
    W, b, dense, c = arrays()
    padded = np.zeros((5, 6, 2), int)
    padded[1:, :5] = Z
    S = np.zeros((4, 4, 2), int)
    for q in range(4):
        for p in range(4):
            for o in range(2):  # group o: channel o
                S[q, p, o] = max((W[0, :, :, o] * padded[q : q + 2, p : p + 3, o]).sum() + b[o], 0)
    pooled = np.zeros((2, 3, 2), int)
    for q in range(2):
        for p in range(3):
            pooled[q, p] = S[2 * q : 2 * q + 2, p : p + 2].max(axis=(0, 1))
    # one window of both rows; a padded row below is never reached
    mean = pooled.sum(axis=0) / 2
    return mean.reshape(-1) @ dense + c
