"""A reading of the files of exported networks by the documented format, without the library.

`understood` decides whether a file is valid. Python's integers do not overflow.
"""

from math import inf, prod
from typing import NamedTuple

import numpy as np

from support import activations
from support.exported_files import (
    CLIP,
    HEADER,
    INT64_MAX,
    MAGIC,
    RECORD,
    VERSION,
    WORDS,
    number,
    resigned,
    word,
)

INT_MAX = 2**31 - 1


LARGEST = INT64_MAX >> 24  # elements of one value


NUMBERS = {"Dropout": 1, "LRN": 3, "Normalize": 2}  # of operations with a fixed number
SEVERAL = ("Add", "Multiply", "Concat")  # inputs: two or more; the others read one


class Step(NamedTuple):
    """A record that was read but not checked."""

    at: int  # its first word
    name: str
    activation: tuple
    owner: int
    inputs: tuple
    words: tuple
    numbers: tuple


class Understood(NamedTuple):
    """The content of a file. Python's integers do not overflow."""

    input_shape: tuple
    outputs: tuple  # shapes: (height, width, channels) or (units,)
    item_size: int
    work: int  # multiply-adds and elements moved for one image
    shared: bool  # whether several steps use the same parameters


class _Layer(NamedTuple):
    shape: tuple
    arrays: tuple  # elements of each
    work: int


def step_at(data, at):
    """Return the record that begins at a word, or None."""
    left = len(data) // 8 - 1 - at
    if left < RECORD or not RECORD <= word(data, at) <= left:
        return None
    length = word(data, at)
    name, _, rest = data[8 * at + 8 : 8 * at + 24].partition(b"\0")
    counts = [word(data, at + k) for k in (7, 8, 9)]
    if any(rest) or min(counts) < 0 or sum(counts) != length - RECORD:
        return None
    inputs, integers, numbers = at + RECORD, at + RECORD + counts[0], at + length - counts[2]
    return Step(
        at, bytes(name).decode("latin-1"), (word(data, at + 3), *(number(data, at + k) for k in (4, 5))),
        word(data, at + 6), tuple(word(data, k) for k in range(inputs, integers)),
        tuple(word(data, k) for k in range(integers, numbers)),
        tuple(number(data, k) for k in range(numbers, at + length)),
    )  # fmt: skip


def steps_of(data):
    """Return the records and the position after them; None if they cannot be read."""
    at, steps = HEADER + word(data, 9), []
    for _ in range(word(data, 4)):
        step = step_at(data, at)
        if step is None:
            return None
        steps.append(step)
        at += word(data, at)
    return steps, at


def header_is_right(data):
    if len(data) < 8 * (HEADER + 2) or len(data) % 8 or data[:8] != MAGIC:
        return False
    if word(data, 1) != VERSION or word(data, 2) != len(data) or bytes(data) != resigned(data):
        return False
    item_size, count, images, *shape, outputs, n, theta = (word(data, k) for k in range(3, HEADER))
    return (
        item_size in (4, 8) and 1 <= count <= 4096 and 1 <= images <= 65536 and min(shape) >= 1
        and 1 <= outputs <= 4096 and n >= 0 and theta == 1
        and len(data) >= 8 * (HEADER + outputs + RECORD * count + 1)
    )  # fmt: skip


def understood(data):
    """Return the content of a file; None if it must be refused."""
    if not header_is_right(data):
        return None
    read = steps_of(data)
    if read is None:
        return None
    steps, at = read
    end = 8 * at + word(data, 10) * word(data, 3)
    if len(data) != -(-end // 8) * 8 + 8 or any(data[end:-8]):
        return None
    values = values_of(tuple(word(data, k) for k in (6, 7, 8)), steps, word(data, 3))
    if values is None:
        return None
    shapes, n, work = values
    outputs = [word(data, HEADER + k) for k in range(word(data, 9))]
    if n != word(data, 10) or len(set(outputs)) < len(outputs):
        return None
    read = {value for step in steps for value in step.inputs} | set(outputs)
    if not all(1 <= value <= len(steps) for value in outputs) or len(read) <= len(steps):
        return None
    shared = any(step.owner for step in steps)
    return Understood(
        shapes[0], tuple(shapes[value] for value in outputs), word(data, 3), work, shared
    )


def values_of(shape, steps, item_size):
    """Return the shapes of all values, the length of theta, the work; None if wrong."""
    if prod(shape) > LARGEST:
        return None
    shapes, owned, n, work = [shape], [], 0, prod(shape)
    for k, step in enumerate(steps):
        layer = layer_of(step, shapes)
        if not activation_is_valid(*step.activation, np.float64 if item_size == 8 else np.float32):
            return None
        if layer is None or not 0 <= step.owner <= k:
            return None
        if step.owner and (not layer.arrays or owned[step.owner - 1] != layer.arrays):
            return None
        # arrays of steps with parameters of their own
        owned.append(layer.arrays if layer.arrays and not step.owner else None)
        n += 0 if step.owner else sum(layer.arrays)
        work += layer.work
        shapes.append(layer.shape)
    return shapes, n, work


def activation_is_valid(code, a, b, dtype):
    """Return whether an activation is known, and its numbers are in range and 0 if unused."""
    if not 0 <= code <= activations.GELU:
        return False
    if code == CLIP:
        return a < b
    with np.errstate(all="ignore"):
        alpha, beta = dtype(a), dtype(b)
    alpha_is_valid = 0 < alpha < inf if code in activations.USES_ALPHA else a == 0
    return alpha_is_valid and (abs(beta) < inf if code in activations.USES_BETA else b == 0)


def numbers_are_valid(step):
    """Return whether the numbers of an operation with some of its own are in range."""
    if step.name == "Dropout":
        return 0 <= step.numbers[0] < 1
    if step.name == "LRN":
        k, alpha, beta = step.numbers
        return 0 <= k < inf and 0 <= alpha < inf and abs(beta) < inf
    if step.name == "Normalize":
        p, epsilon = step.numbers
        return 1 <= p < inf and 0 <= epsilon < inf
    return True


def layer_of(step, shapes):
    """Return the layer of a record that reads some of the values; None if it is wrong."""
    several = step.name in SEVERAL
    if step.name not in WORDS or len(step.words) != WORDS[step.name]:
        return None
    maximum = 2 if step.name == "Crop" else 1
    if len(step.inputs) < 2 if several else not 1 <= len(step.inputs) <= maximum:
        return None
    if len(step.numbers) != (len(step.inputs) if step.name == "Add" else NUMBERS.get(step.name, 0)):
        return None
    if not numbers_are_valid(step):
        return None
    if not all(0 <= value < len(shapes) for value in step.inputs):
        return None
    layer = KINDS[step.name](step.words, [shapes[value] for value in step.inputs])
    if layer is None or prod(layer.shape) > LARGEST:
        return None
    return layer


def _of_one_shape(_, shapes):
    return _Layer(shapes[0], (), len(shapes) * prod(shapes[0])) if len(set(shapes)) == 1 else None


def _concat(_, shapes):
    if len({shape[:-1] for shape in shapes}) > 1:
        return None
    shape = (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
    return _Layer(shape, (), prod(shape))


def _multiply(_, shapes):
    largest = shapes[0]
    for shape in shapes:
        if len(shape) == 3 and prod(shape[:2]) > prod(largest[:-1]):
            largest = shape
    for shape in shapes:
        if shape[-1] != largest[-1] or (
            shape != largest and (prod(shape[:-1]) != 1 or prod(largest[:-1]) == 1)
        ):
            return None
    return _Layer(largest, (), len(shapes) * prod(largest))


def _pad(integers, shapes):
    (shape,) = shapes
    if len(shape) != 3 or min(integers) < 0 or max(*integers, *shape[:2]) > INT64_MAX // 4:
        return None
    out = (shape[0] + sum(integers[:2]), shape[1] + sum(integers[2:]), shape[2])
    return _Layer(out, (), prod(out))


def _slice(integers, shapes):
    (shape,) = shapes
    start, stop = integers
    if not 0 <= start < stop <= shape[-1]:
        return None
    return _Layer((*shape[:-1], stop - start), (), prod(shape))


def _upsample(integers, shapes):
    (shape,) = shapes
    down, right, method = integers
    if len(shape) != 3 or min(down, right) < 1 or method not in (0, 1, 2):
        return None
    out = (shape[0] * down, shape[1] * right, shape[2])
    if max(prod(out) * 16, out[0] * shape[0], out[1] * shape[1]) > INT64_MAX:
        return None
    return _Layer(out, (), prod(out))


def _crop(integers, shapes):
    shape = shapes[0]
    if len(shape) != 3 or min(integers) < 0:
        return None
    out = (shape[0] - sum(integers[:2]), shape[1] - sum(integers[2:]), shape[2])
    return _Layer(out, (), prod(out)) if min(out) > 0 else None


def _scale(integers, shapes):
    (shape,) = shapes
    if integers[0] not in (0, 1):
        return None
    return _Layer(shape, (shape[-1],) * (1 + integers[0]), prod(shape))


def window_of(shape, channels, groups, h, s, pad, dilation):
    """Return the outputs of a window and the length of its columns; None if it does not fit."""
    if min(channels, groups, *h, *s, *dilation) < 1 or min(*pad[0], *pad[1]) < 0:
        return None
    if shape[2] % groups or channels % groups:
        return None
    out = []
    for n, given, size, step, e in zip(shape, pad, h, s, dilation):
        extent = (size - 1) * e + 1
        if n + sum(given) > INT64_MAX or extent > n + sum(given):
            return None
        out.append((n + sum(given) - extent) // step + 1)
    K = h[0] * h[1] * (shape[2] // groups)
    if max(K, channels, shape[2]) > INT_MAX or K * channels * 8 > INT64_MAX:
        return None
    if max(prod(out) * channels, prod(shape)) * 8 > INT64_MAX:
        return None
    return out, K


def _conv(integers, shapes):
    (shape,) = shapes
    channels, groups, *window, bias, algorithm = integers
    if len(shape) != 3 or bias not in (0, 1) or algorithm not in (0, 1, 2):
        return None
    pad = (window[4:6], window[6:8])
    found = window_of(shape, channels, groups, window[:2], window[2:4], pad, window[8:10])
    return found and _filters((*found[0], channels), found[1], bias, prod(shape))


def _conv_transpose(integers, shapes):
    (shape,) = shapes
    channels, groups, h_b, h_a, s_b, s_a, *rest, bias, algorithm = integers
    crop, dilation, extra = (rest[:2], rest[2:4]), rest[4:6], rest[6:8]
    if len(shape) != 3 or bias not in (0, 1) or algorithm not in (0, 1, 2):
        return None
    size = []
    for n, h, s, sides, e, more in zip(shape, (h_b, h_a), (s_b, s_a), crop, dilation, extra):
        if min(h, s, e) < 1 or min(sides) < 0 or not 0 <= more < s:
            return None
        full = s * (n - 1) + (h - 1) * e + 1 + more
        if full > INT64_MAX or sum(sides) >= full:
            return None
        size.append(full - sum(sides))
    window = ((h_b, h_a), (s_b, s_a), crop, dilation)
    found = window_of((*size, channels), shape[2], groups, *window)
    if found is None or tuple(found[0]) != shape[:2]:
        return None
    arrays = (found[1] * shape[2], channels)[: 1 + bias]
    out = (*size, channels)
    return _Layer(out, arrays, prod(shape) * found[1] + prod(out))


def _filters(shape, K, bias, inputs):
    arrays = (K * shape[-1], shape[-1])[: 1 + bias]
    return _Layer(shape, arrays, prod(shape) * K + inputs)


def _dense(integers, shapes):
    (shape,) = shapes
    units, bias = integers
    if bias not in (0, 1):
        return None
    one = ((0, 0), (0, 0))
    found = window_of((1, 1, prod(shape)), units, 1, (1, 1), (1, 1), one, (1, 1))
    return found and _filters((units,), found[1], bias, prod(shape))


def _avg_pool(integers, shapes):
    *window, below, after = integers
    if (below, after) != (-1, -1) and not (0 <= below <= window[5] and 0 <= after <= window[7]):
        return None
    return _pool(window, shapes)


def _pool(integers, shapes):
    (shape,) = shapes
    if len(shape) != 3:
        return None
    h, s, pad = integers[:2], integers[2:4], (integers[4:6], integers[6:8])
    found = window_of(shape, shape[2], 1, h, s, pad, (1, 1))
    if found is None or any(side >= size for given, size in zip(pad, h) for side in given):
        return None
    if shape[0] * shape[1] > INT_MAX:
        return None
    out = (*found[0], shape[2])
    return _Layer(out, (), prod(out) * h[0] * h[1] + prod(shape))


def _lrn(integers, shapes):
    (shape,) = shapes
    return _Layer(shape, (), 4 * prod(shape)) if integers[0] >= 1 else None


def _normalize(integers, shapes):
    (shape,) = shapes
    if integers[0] not in (0, 1) or (integers[0] and len(shape) != 3):
        return None
    return _Layer(shape, (), 2 * prod(shape))


def _prelu(_, shapes):
    (shape,) = shapes
    return _Layer(shape, (shape[-1],), prod(shape))


KINDS = {
    "LRN": _lrn, "LogSoftmax": _of_one_shape, "Normalize": _normalize, "PReLU": _prelu,
    "Softmax": _of_one_shape, "Dropout": _of_one_shape,
    "Activation": _of_one_shape, "Add": _of_one_shape, "Multiply": _multiply,
    "AvgPool": _avg_pool, "MaxPool": _pool, "Concat": _concat, "Conv": _conv,
    "ConvTranspose": _conv_transpose, "Crop": _crop, "Dense": _dense, "Pad": _pad,
    "Scale": _scale, "Slice": _slice, "Upsample": _upsample,
}  # fmt: skip
