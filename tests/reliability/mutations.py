"""Files of exported networks, changed by their structure: what `fuzz.py` opens."""

import zlib

import numpy as np
from support import networks
from support.describing import encoded
from support.exported_files import (
    CLIP,
    HEADER,
    LEAKY,
    RECORD,
    RELU,
    conv,
    dense,
    exported,
    graph,
    normalizing,
    pool,
    record,
    resigned,
    word,
    words,
)
from support.exported_reading import header_is_right, steps_of, values_of

import matconv
from matconv import AvgPool, Conv, Dense, MaxPool

WORD = 8
LARGEST = 1 << 20  # bytes of a mutated file

INTERESTING = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 31, 32, 63, 64, 65, 100, 127, 128, 255, 256,
    1000, 4095, 4096, 4097, 65535, 65536, 65537, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1,
    2**40, 2**58, 2**60, 2**61, 2**62, 2**62 + 1, 2**63 - 2, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1,
)  # fmt: skip


def seeds():
    """Files of small networks: every operation, both dtypes, every algorithm."""
    described = [
        ((9, 8, 2), networks.MIXED),
        ((7, 7, 1), (Conv(3, 3),)),
        ((12, 11, 3), (Conv(5, 3, pad=1), Conv(5, 5, stride=2, pad=2), AvgPool(3, pad=1))),
        ((6, 6, 4), (Conv(4, 3, groups=4, dilation=2), Conv(8, 1), MaxPool((1, 2)))),
        ((5, 4, 3), (Dense(6, activation="relu"), Dense(2))),
        ((8, 8, 1), (MaxPool(3, stride=2, pad=1), AvgPool(2))),
        ((20, 20, 2), (Conv(4, 5, pad=4), Conv(4, 3, stride=2, pad=1))),
        ((4, 4, 3), (*(Conv(3, 1) for _ in range(9)), Dense(2))),
    ]
    files = []
    for dtype in (np.float64, np.float32):
        for shape, layers in described:
            for algorithm, images in (("auto", 1), ("im2col", 8), ("winograd", 64)):
                net = matconv.Network(shape, layers, dtype, algorithm)
                files.append(encoded(net, net.init(seed=1), images))
        files += [graph(dtype), normalizing(dtype), *graphs(dtype)]
    return list(dict.fromkeys(files))


def graphs(dtype):
    """A residual block, scales that are taken in, a fan of branches, values that live for long."""
    relu, leaky, clip = (RELU, 0.0, 0.0), (LEAKY, 0.1, 0.0), (CLIP, -1.0, 6.0)
    pad = (1, 1, 1, 1)
    block = [
        conv(0, 4, (3, 3), pad=pad, bias=0),
        record("Scale", [1], [1], activation=relu),
        conv(2, 4, (3, 3), pad=pad),
        record("Scale", [3], [0]),
        record("Add", [4, 2], numbers=[1.0, 1.0], activation=relu),
        conv(5, 4, (3, 3), pad=pad, owner=3, activation=leaky),
        dense(6, 3, bias=0),
        record("Scale", [7], [1], activation=clip),
    ]
    sizes = (2 * 9 * 4, 4, 4, 4 * 9 * 4, 4, 4, 6 * 5 * 4 * 3, 3, 3)
    yield exported((6, 5, 2), block, [np.arange(n) % 3 - 1 for n in sizes], dtype)
    fan = [record("Crop", [0], [k, 4 - k, 1, 0]) for k in range(4)]
    fan += [
        record("Activation", [1], activation=leaky),
        record("Dropout", [5], numbers=[0.5]),
        record("Concat", [1, 2, 3, 4, 6]),
        record("Multiply", [2, 3, 5]),
        pool("MaxPool", 7, (2, 2)),
    ]
    yield exported((7, 5, 2), fan, [], dtype, outputs=[9, 8, 2])
    chain = [record("Add", [0, k], numbers=[1.0, 0.5]) for k in range(12)]
    yield exported((2, 2, 1), chain, [], dtype, outputs=[12])


class Mutator:
    """Makes files out of the seeds, the same ones for the same seed."""

    def __init__(self, files, seed):
        self.files = list(files)
        self.first = len(files)
        self.random = np.random.default_rng(seed)

    def pick(self, count):
        return int(self.random.integers(count))

    def keep(self, data):
        """A mutated file that opened is a seed as well, in the place of an older one."""
        if len(self.files) < self.first + 200:
            self.files.append(data)
        else:
            self.files[self.first + self.pick(200)] = data

    def make(self):
        """A file: one to four mutations of a seed, most with the length and the CRC corrected."""
        data = bytearray(self.files[self.pick(len(self.files))])
        for _ in range(1 + self.pick(4) * self.pick(2)):
            data = getattr(self, self.METHODS[self.pick(len(self.METHODS))])(data)[:LARGEST]
        chance = self.pick(100)
        if chance < 92:
            data = data[: len(data) // WORD * WORD]
            if chance < 88 and len(data) >= 3 * WORD:
                data[2 * WORD : 3 * WORD] = len(data).to_bytes(WORD, "little")
            if chance < 60:
                data = fitted(data)
            if len(data) >= WORD:
                data[-WORD:] = zlib.crc32(data[:-WORD]).to_bytes(WORD, "little")
        return bytes(data)

    METHODS = (
        "flip", "flip_structure", "word", "header", "record", "record", "record", "record", "input",
        "input", "owner", "activation", "output", "name", "swap", "same_word", "wrap", "truncate",
        "splice", "insert", "repeat_record", "drop_record", "numbers",
    )  # fmt: skip

    def value(self):
        if self.pick(3):
            return INTERESTING[self.pick(len(INTERESTING))]
        return self.pick(20)

    def put(self, data, k, value):
        if WORD * (k + 1) <= len(data):
            data[WORD * k : WORD * (k + 1)] = (value % 2**64).to_bytes(WORD, "little")
        return data

    def records(self, data):
        """The first words of the records, as far as they can be followed, and the word behind."""
        at, found = HEADER + min(max(self.peek(data, 9), 0), 4096), []
        while len(found) < min(self.peek(data, 4), 4096):
            length = self.peek(data, at)
            if not RECORD <= length <= len(data) // WORD - at:
                break
            found.append(at)
            at += length
        return found or [HEADER], at

    def peek(self, data, k):
        return word(data, k) if 0 <= WORD * k <= len(data) - WORD else 0

    def place(self, data):
        """The first word of some record."""
        found, _ = self.records(data)
        return found[self.pick(len(found))]

    def structure(self, data):
        """Words before the parameters."""
        return min(self.records(data)[1], len(data) // WORD)

    def flip(self, data):
        if data:
            data[self.pick(len(data))] ^= 1 << self.pick(8)
        return data

    def flip_structure(self, data):
        end = WORD * self.structure(data)
        if end:
            data[self.pick(end)] ^= 1 << self.pick(8)
        return data

    def word(self, data):
        return self.put(data, self.pick(len(data) // WORD + 1), self.value())

    def header(self, data):
        return self.put(data, 1 + self.pick(11), self.value())

    def record(self, data):
        """Words of the operation, mostly."""
        at = self.place(data)
        length = max(self.peek(data, at), 1)
        first = min(RECORD, length - 1) if self.pick(4) else 0
        for _ in range(1 + self.pick(3)):
            data = self.put(data, at + first + self.pick(max(length - first, 1)), self.value())
        return data

    def input(self, data):
        """Another value, mostly one that is there."""
        at = self.place(data)
        count = self.peek(data, at + 7)
        if 0 < count < 5000:
            new = self.pick(len(self.records(data)[0]) + 2) if self.pick(8) else self.value()
            data = self.put(data, at + RECORD + self.pick(count), new)
        return data

    def owner(self, data):
        new = self.pick(len(self.records(data)[0]) + 2) if self.pick(8) else self.value()
        return self.put(data, self.place(data) + 6, new)

    def activation(self, data):
        at = self.place(data)
        floats = (0, 0x3FF0 << 48, 0x3FB9 << 48, 0x7FF8 << 48, 0x7FF0 << 48, 0xBFF0 << 48)
        for k in (4, 5):
            if self.pick(2):
                data = self.put(data, at + k, floats[self.pick(len(floats))])
        return self.put(data, at + 3, self.pick(5))

    def output(self, data):
        """Another output, or one more or fewer."""
        count = self.peek(data, 9)
        if not 0 < count < 5000 or len(data) < WORD * (HEADER + count):
            return data
        new = self.pick(len(self.records(data)[0]) + 2)
        kind, at = self.pick(3), WORD * HEADER
        if kind == 0:
            return self.put(data, HEADER + self.pick(count), new)
        data = self.put(data, 9, count + 1 if kind == 1 else count - 1)
        rest = data[at:] if kind == 1 else data[at + WORD :]
        return data[:at] + (bytearray(words(new)) if kind == 1 else bytearray()) + rest

    def name(self, data):
        """The operation of another record."""
        i, j = self.place(data), self.place(data)
        piece = data[WORD * (j + 1) : WORD * (j + 3)]
        if len(piece) == 2 * WORD and WORD * (i + 3) <= len(data):
            data[WORD * (i + 1) : WORD * (i + 3)] = piece
        return data

    def same_word(self, data):
        """A value plus or minus a little."""
        k = 1 + self.pick(max(self.structure(data), 1))
        old = int.from_bytes(data[WORD * k : WORD * (k + 1)], "little")
        return self.put(data, k, old + self.pick(7) - 3)

    def wrap(self, data):
        """Sizes of an image whose product is the same modulo 2**64, but not in truth."""
        old = [int.from_bytes(data[WORD * k : WORD * (k + 1)], "little") for k in (6, 7, 8)]
        sign = 1 - 2 * self.pick(2)
        for _ in range(16):  # of a product of 2**63 all are as large
            odd = int(self.random.integers(2**62)) | 1
            other = sign * old[0] * old[1] * old[2] * pow(odd, -1, 2**64) % 2**64
            if other < 2**63:
                break
        for k, value in enumerate(self.random.permutation(3)):
            data = self.put(data, 6 + k, (sign, odd, other)[value])
        return data

    def swap(self, data):
        i, j = (self.place(data) + self.pick(24) for _ in range(2))
        one, two = data[WORD * i : WORD * (i + 1)], data[WORD * j : WORD * (j + 1)]
        if len(one) == len(two) == WORD:
            data[WORD * i : WORD * (i + 1)], data[WORD * j : WORD * (j + 1)] = two, one
        return data

    def truncate(self, data):
        return data[: self.pick(len(data) + 1)]

    def splice(self, data):
        """Up to a record of this file, from a record of another on."""
        other = self.files[self.pick(len(self.files))]
        if self.pick(2):
            return data[: WORD * self.place(data)] + bytearray(other[WORD * self.place(other) :])
        cut = self.pick(min(len(data), len(other)) + 1)
        return data[:cut] + bytearray(other[cut:])

    def insert(self, data):
        at = self.pick(len(data) + 1)
        return data[:at] + bytearray(self.random.bytes(self.pick(40))) + data[at:]

    def repeat_record(self, data):
        """Each of them reads the one before, mostly, so that every value is read."""
        found, _ = self.records(data)
        k = self.pick(len(found))
        at, end = WORD * found[k], WORD * (found[k] + max(self.peek(data, found[k]), 0))
        piece = data[at:end]
        times = 1 + (self.pick(4000) if self.pick(20) == 0 else self.pick(3))
        times = min(times, LARGEST // max(len(piece), 1))
        data = self.put(data, 4, self.peek(data, 4) + times)
        if self.pick(2) and len(piece) > WORD * RECORD and k == len(found) - 1:
            pieces = bytearray()
            for j in range(times):
                pieces += piece
                last = len(pieces) - len(piece) + WORD * RECORD
                pieces[last : last + WORD] = words(len(found) + j)
            data = self.put(data, HEADER, len(found) + times)
            return data[:end] + pieces + data[end:]
        return data[:at] + piece * times + data[at:]

    def drop_record(self, data):
        found, _ = self.records(data)
        at = found[self.pick(len(found))]
        data = self.put(data, 4, self.peek(data, 4) - 1)
        return data[: WORD * at] + data[WORD * (at + max(self.peek(data, at), 0)) :]

    def numbers(self, data):
        """Parameters that are no usual numbers."""
        start = self.records(data)[1]
        bits = (0x7FF0 << 48, 0x7FF8 << 48, 1, 0x7FE0 << 48, 0x7F800000FF800000, 2**64 - 1)
        return self.put(data, start + self.pick(8), bits[self.pick(len(bits))])


def fitted(data):
    """As many bytes of parameters as the steps ask for, where that is not too many.

    Most changes of a step change how many there are, and such a file would only ever be refused
    for its length.
    """
    if len(data) % WORD or len(data) < WORD * (HEADER + 3):
        return data
    data[2 * WORD : 3 * WORD] = words(len(data))
    if not header_is_right(resigned(data)):
        return data
    read = steps_of(data)
    values = (
        None
        if read is None
        else values_of(tuple(word(data, k) for k in (6, 7, 8)), read[0], word(data, 3))
    )
    if values is None:
        return data
    place, n = WORD * read[1], values[1]
    whole = -(-(place + n * word(data, 3)) // WORD) * WORD + WORD
    if whole > LARGEST:
        return data
    rest = data[place:-WORD] or bytes(WORD)
    body = data[:-WORD][: place + n * word(data, 3)]
    while len(body) < place + n * word(data, 3):
        body += rest[: place + n * word(data, 3) - len(body)]
    body += bytes(whole - len(body))
    body[2 * WORD : 3 * WORD] = words(len(body))
    body[10 * WORD : 11 * WORD] = words(n)
    return body
