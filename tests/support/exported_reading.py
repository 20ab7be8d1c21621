"""A reading of the files of exported networks by the documented format, without the library.

`understood` decides whether a file is valid. Python's integers do not overflow.
"""

from math import inf, prod
from typing import NamedTuple

import numpy as np

from support.exported_files import (
    CLIP,
    HEADER,
    INT64_MAX,
    LEAKY,
    MAGIC,
    NONE,
    RECORD,
    RELU,
    VERSION,
    WORDS,
    number,
    resigned,
    word,
)

INT_MAX = 2**31 - 1


LARGEST = INT64_MAX >> 24  # elements of one value


SEVERAL = ("Add", "Multiply", "Concat")  # inputs: two or more; the others read one
NUMBERS = ("Add", "Dropout")  # one for each input


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
        # a slope that is 0 or infinite in single precision is refused
        if step.activation[0] == LEAKY and item_size == 4:
            with np.errstate(all="ignore"):
                if not 0 < np.float32(step.activation[1]) < inf:
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


def layer_of(step, shapes):
    """Return the layer of a record that reads some of the values; None if it is wrong."""
    code, a, b = step.activation
    zeros = a == 0 and b == 0
    known = (code in (NONE, RELU) and zeros) or (code == LEAKY and 0 < a < inf and b == 0)
    if not known and not (code == CLIP and a < b):
        return None
    several = step.name in SEVERAL
    if step.name not in WORDS or len(step.words) != WORDS[step.name]:
        return None
    if len(step.inputs) < 2 if several else len(step.inputs) != 1:
        return None
    if len(step.numbers) != (len(step.inputs) if step.name in NUMBERS else 0):
        return None
    if step.name == "Dropout" and not 0 <= step.numbers[0] < 1:
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


def _crop(integers, shapes):
    (shape,) = shapes
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


KINDS = {
    "Activation": _of_one_shape, "Add": _of_one_shape, "Multiply": _of_one_shape,
    "AvgPool": _pool, "MaxPool": _pool, "Concat": _concat, "Conv": _conv, "Crop": _crop,
    "Dense": _dense, "Dropout": _of_one_shape, "Scale": _scale,
}  # fmt: skip
