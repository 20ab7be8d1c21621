"""Files of exported networks, written by the documented format without the library; examples.

A word has 8 bytes, little-endian. A file has twelve words of header, the outputs, a record for each
step, theta, zeros up to a whole word, and the CRC-32 of everything before it.
"""

import struct
import zlib

import numpy as np

from matconv import AvgPool, Conv, Dense, MaxPool, Network

MAGIC = b"\x89matcnv\n"
VERSION = 2
HEADER, RECORD = 12, 10
NONE, RELU, LEAKY, CLIP = range(4)
INT64_MAX = 2**63 - 1
WORDS = {
    "Activation": 0, "Add": 0, "AvgPool": 10, "Concat": 0, "Conv": 14, "ConvTranspose": 16,
    "Crop": 4, "Dense": 2, "Dropout": 0, "LRN": 1, "LogSoftmax": 0, "MaxPool": 8, "Multiply": 0,
    "Normalize": 1, "PReLU": 0, "Pad": 4, "Scale": 1, "Slice": 2, "Softmax": 0, "Upsample": 3,
}  # fmt: skip


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
    counted = [-1, -1] if name == "AvgPool" else []
    return record(name, [value], [*window, *(stride or window), *pad, *counted], **options)


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


# Examples ----------------------------------------------------------------------------------------

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
    record("Pad", [8], [1, 0, 0, 1]),  # 9: (5, 5, 6)
    record("Upsample", [9], [1, 2, 0]),  # 10: (5, 10, 6)
    record("Slice", [10], [1, 5]),  # 11: (5, 10, 4)
    # channels, groups, kernel, upsampling, crop, dilation, extra, bias, algorithm; 12: (4, 5, 2)
    record("ConvTranspose", [11], [2, 2, 2, 1, 1, 1, 1, 1, 0, 5, 1, 1, 0, 0, 1, 1]),
    pool("MaxPool", 12, (2, 2), (2, 1)),  # 13: (2, 4, 2)
    pool("AvgPool", 13, (2, 1), (1, 2)),  # 14: (1, 2, 2)
    dense(14, 3),
    record("Dropout", [15], numbers=[0.5]),
    record("Activation", [16], activation=(RELU, 0.0, 0.0)),
)  # fmt: skip
GRAPH_OUTPUTS = (17, 8)


def graph_arrays():
    """Return W of the shared Conv; gain, bias; gain; W, b of ConvTranspose; of Dense, (4, 3)."""
    W, _, _, b = arrays()
    filters, dense = np.arange(8) % 3 - 1, (np.arange(12).reshape(4, 3) + 3) % 5 - 1
    return (
        W, np.array([2, -1]), np.array([-3, 1]), np.arange(6) % 3 - 1, filters, np.array([3, 1]),
        dense, b,
    )  # fmt: skip


def graph(dtype="float64", **changes):
    changes = {"outputs": GRAPH_OUTPUTS, **changes}
    return exported(SHAPE, GRAPH, graph_arrays(), dtype, **changes)


# operations that normalise, with activations of all kinds whose results are rounded
NORMALIZING = (
    conv(0, 2, (2, 3), pad=(1, 0, 0, 1), groups=2, activation=(9, 0.0, 0.0)),  # 1: (4, 4, 2)
    record("LRN", [1], [3], [1.5, 0.25, 0.75]),
    record("Normalize", [2], [1], [2.0, 0.5]),
    record("PReLU", [3], []),
    record("Scale", [4], [0], activation=(4, 0.0, 0.0)),
    record("Activation", [5], activation=(7, 0.5, 0.0)),
    record("Softmax", [6]),
    record("Multiply", [7, 5], activation=(8, 0.25, 0.5)),
    record("Normalize", [8], [0], [3.0, 0.25]),
    dense(9, 3),
    record("Activation", [10], activation=(11, 0.0, 0.0)),
    record("LogSoftmax", [11]),
)  # fmt: skip


def normalizing(dtype="float64", **changes):
    W, b, _, c = arrays()
    slopes, gain, dense_ = np.array([-1, 2]), np.array([1, 3]), np.arange(96) % 5 - 2
    return exported(SHAPE, NORMALIZING, (W, b, slopes, gain, dense_, c), dtype, **changes)


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
