"""Files of exported networks, written and read from the documented format without the library.

A word has 8 bytes, little-endian. A file has twelve words of header, the outputs, a record for each
step, theta, zeros up to a whole word, and the CRC-32 of everything before it.
"""

import struct
import zlib
from math import inf, prod
from typing import NamedTuple

import numpy as np

from matconv import AvgPool, Conv, Dense, MaxPool, Network
from support import reference

MAGIC = b"\x89matcnv\n"
VERSION = 2
HEADER, RECORD = 12, 10
NONE, RELU, LEAKY, CLIP = range(4)
MOST = 2**63 - 1
INT_MAX = 2**31 - 1
LARGEST = MOST >> 24  # elements of one value
WORDS = {
    "Activation": 0, "Add": 0, "AvgPool": 8, "Concat": 0, "Conv": 14, "Crop": 4, "Dense": 2,
    "MaxPool": 8, "Multiply": 0, "Scale": 1,
}  # fmt: skip
SEVERAL = ("Add", "Multiply", "Concat")  # inputs: two or more; the others read one


def words(*values):
    """Return integers from -2**63 to 2**64 - 1 as words."""
    return b"".join((value % 2**64).to_bytes(8, "little") for value in values)


def bits(*numbers):
    """Return the bits of float64 numbers as integers."""
    return struct.unpack(f"<{len(numbers)}q", struct.pack(f"<{len(numbers)}d", *numbers))


def signed(data):
    """Return data with its CRC-32 appended."""
    return data + struct.pack("<Q", zlib.crc32(data))


def resigned(data):
    """Return data with its last word replaced by the right CRC-32."""
    return signed(bytes(data[:-8]))


def with_word(data, k, value):
    """Return data with another integer in word k, and the CRC-32 of that."""
    return resigned(data[: 8 * k] + words(value) + data[8 * k + 8 :])


def word(data, k):
    """Return word k as a signed integer."""
    return struct.unpack_from("<q", data, 8 * k)[0]


def number(data, k):
    """Return word k as a float64."""
    return struct.unpack_from("<d", data, 8 * k)[0]


# Records ------------------------------------------------------------------------------------------


def record(name, inputs, integers=(), numbers=(), activation=(NONE, 0.0, 0.0), owner=0):
    """The words of a step."""
    code, a, b = activation
    counts = (len(inputs), len(integers), len(numbers))
    body = (
        *struct.unpack("<2q", name.encode().ljust(16, b"\0")), code, *bits(a, b), owner, *counts,
        *inputs, *integers, *bits(*numbers),
    )  # fmt: skip
    return (len(body) + 1, *body)


def conv(
    value, filters, kernel, stride=(1, 1), pad=(0, 0, 0, 0), dilation=(1, 1), groups=1, bias=1,
    algorithm=0, **options,
):  # fmt: skip
    integers = [filters, groups, *kernel, *stride, *pad, *dilation, bias, algorithm]
    return record("Conv", [value], integers, **options)


def dense(value, units, bias=1, **options):
    return record("Dense", [value], [units, bias], **options)


def pool(name, value, window, stride=None, pad=(0, 0, 0, 0), **options):
    return record(name, [value], [*window, *(stride or window), *pad], **options)


def exported(
    shape, records, arrays, dtype="float64", images=1, version=VERSION, outputs=None, n=None
):
    """Return the bytes of a file; by default its output is the last value."""
    outputs = [len(records)] if outputs is None else outputs
    theta = np.concatenate([np.zeros(0), *(np.ravel(array) for array in arrays)]).astype(dtype)
    numbers = theta.tobytes() + bytes(-theta.nbytes % 8)
    rows = [value for row in records for value in row]
    size = 8 * (HEADER + len(outputs) + len(rows) + 1) + len(numbers)
    header = (
        version, size, theta.itemsize, len(records), images, *shape, len(outputs),
        theta.size if n is None else n, 1,
    )  # fmt: skip
    return signed(MAGIC + words(*header, *outputs, *rows) + numbers)


# Reading ------------------------------------------------------------------------------------------


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
    if len(step.numbers) != (len(step.inputs) if step.name == "Add" else 0):
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
        if n + sum(given) > MOST or extent > n + sum(given):
            return None
        out.append((n + sum(given) - extent) // step + 1)
    K = h[0] * h[1] * (shape[2] // groups)
    if max(K, channels, shape[2]) > INT_MAX or K * channels * 8 > MOST:
        return None
    if max(prod(out) * channels, prod(shape)) * 8 > MOST:
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
    "Dense": _dense, "Scale": _scale,
}  # fmt: skip


# Values -------------------------------------------------------------------------------------------


def theta_of(data):
    """Return the parameters of a valid file."""
    at = 8 * steps_of(data)[1]
    return np.frombuffer(data, f"<f{word(data, 3)}", word(data, 10), at)


def parameters_of(data, dtype):
    """Return the arrays of each step, its own or those of another one."""
    steps, _ = steps_of(data)
    shapes, _, _ = values_of(tuple(word(data, k) for k in (6, 7, 8)), steps, word(data, 3))
    theta, at, found = theta_of(data).astype(dtype), 0, []
    for k, step in enumerate(steps):
        if step.owner:
            found.append(found[step.owner - 1])
            continue
        arrays = []
        for size in layer_of(step, shapes[: k + 1]).arrays:
            arrays.append(theta[at : at + size])
            at += size
        found.append(arrays)
    return found


def activated(activation, S):
    code, a, b = activation
    if code == RELU:
        return np.where(S <= 0, 0, S)
    if code == LEAKY:
        return np.where(S <= 0, S.dtype.type(a) * S, S)
    return np.where(S < a, a, np.where(S > b, b, S)).astype(S.dtype) if code == CLIP else S


def step_output(step, arrays, Z):
    """Return the output of a step for the values that it reads."""
    first, integers = Z[0], step.words
    if step.name == "Add":
        return sum(first.dtype.type(c) * z for c, z in zip(step.numbers, Z))
    if step.name == "Multiply":
        return np.prod(np.array(Z), axis=0)
    if step.name == "Concat":
        return np.concatenate(Z, axis=-1)
    if step.name == "Crop":
        top, bottom, left, right = integers
        return first[:, top : first.shape[1] - bottom, left : first.shape[2] - right]
    if step.name == "Scale":
        return arrays[0] * first + (arrays[1] if integers[0] else 0)
    if step.name == "Activation":
        return first
    if step.name == "Dense":
        flat = first.reshape(len(first), -1)
        return flat @ arrays[0].reshape(flat.shape[1], -1) + (arrays[1] if integers[1] else 0)
    if step.name == "Conv":
        filters, groups, *window = integers[:12]
        W = arrays[0].reshape(first.shape[3] // groups, *window[:2], filters)
        b = arrays[1] if integers[12] else np.zeros(filters, first.dtype)
        pad = (tuple(window[4:6]), tuple(window[6:8]))
        return reference.conv2d(
            first, W, b, stride=tuple(window[2:4]), pad=pad, dilation=tuple(window[8:10]),
            groups=groups,
        )  # fmt: skip
    pad = (integers[4:6], integers[6:8])
    if step.name == "MaxPool":
        return reference.max_pool2d(first, integers[:2], integers[2:4], pad)[0]
    return reference.avg_pool2d(first, integers[:2], integers[2:4], pad)


def computed(data, Z, dtype=np.longdouble):
    """Return the outputs of a valid file for images, by plain loops."""
    steps, _ = steps_of(data)
    values = [np.asarray(Z, dtype)]
    for step, arrays in zip(steps, parameters_of(data, dtype)):
        output = step_output(step, arrays, [values[k] for k in step.inputs])
        values.append(activated(step.activation, output))
    return [values[word(data, HEADER + k)] for k in range(word(data, 9))]


# a network with integer parameters: a Conv of 2 filters with ReLU, a MaxPool, an AvgPool with
# padding, a Dense layer
SHAPE = (4, 5, 2)
RECORDS = (
    conv(0, 2, (2, 3), pad=(1, 0, 0, 1), groups=2, algorithm=1, activation=(RELU, 0.0, 0.0)),
    pool("MaxPool", 1, (2, 2), (2, 1)),
    pool("AvgPool", 2, (2, 1), (2, 1), (0, 1, 0, 0)),
    dense(3, 3),
)


def arrays():
    """Return W, b of Conv, (1, 2, 3, 2), (2,), and of Dense, (6, 3), (3,)."""
    W = np.arange(12).reshape(1, 2, 3, 2) % 5 - 2
    dense = np.arange(18).reshape(6, 3) % 7 - 3
    return W, np.array([1, -2]), dense, np.array([5, 0, -5])


def small(dtype="float64", **changes):
    return exported(SHAPE, RECORDS, arrays(), dtype, **changes)


# a graph of every operation, with shared parameters, all activations, an affine step after a
# convolution and one after a sum, and two outputs, one of which another step reads
GRAPH = (
    conv(0, 2, (2, 3), pad=(1, 0, 0, 1), groups=2, bias=0, algorithm=1),  # 1: (4, 4, 2)
    record("Scale", [1], [1], activation=(RELU, 0.0, 0.0)),
    record("Crop", [0], [0, 0, 0, 1]),  # 3: (4, 4, 2)
    record("Add", [2, 3], numbers=[1.0, -2.0], activation=(LEAKY, 0.5, 0.0)),
    record("Multiply", [4, 3]),
    conv(5, 2, (2, 3), pad=(1, 0, 1, 1), groups=2, bias=0, algorithm=1, owner=1),  # 6: (4, 4, 2)
    record("Concat", [6, 4, 2]),  # 7: (4, 4, 6)
    record("Scale", [7], [0], activation=(CLIP, -200.0, 100.0)),
    pool("MaxPool", 8, (2, 2), (2, 1)),  # 9: (2, 3, 6)
    pool("AvgPool", 9, (2, 1), (1, 2)),  # 10: (1, 2, 6)
    dense(10, 3),
    record("Activation", [11], activation=(RELU, 0.0, 0.0)),
)  # fmt: skip
GRAPH_OUTPUTS = (12, 8)


def graph_arrays():
    """Return W of the shared Conv; gain, bias; gain; W, b of Dense, (12, 3), (3,)."""
    W, _, _, b = arrays()
    dense = np.arange(36).reshape(12, 3) % 5 - 2
    return W, np.array([2, -1]), np.array([-3, 1]), np.arange(6) % 3 - 1, dense, b


def graph(dtype="float64", **changes):
    changes = {"outputs": GRAPH_OUTPUTS, **changes}
    return exported(SHAPE, GRAPH, graph_arrays(), dtype, **changes)


def network(dtype):
    """The network of `small`, and its theta."""
    net = Network(
        SHAPE,
        [
            Conv(2, (2, 3), pad=((1, 0), (0, 1)), groups=2, activation="relu", algorithm="im2col"),
            MaxPool(2, stride=(2, 1)),
            AvgPool((2, 1), stride=(2, 1), pad=((0, 1), (0, 0))),
            Dense(3),
        ],
        dtype,
    )
    W, b, dense, c = (array.astype(dtype) for array in arrays())
    return net, net.pack([(W, b), (dense, c)])
