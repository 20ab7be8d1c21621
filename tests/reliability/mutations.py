"""Files of exported networks, changed by their structure: what `fuzz.py` opens."""

import sys
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
from exported_files import (
    AVG_POOL,
    HEADER,
    LAYER,
    MAX_POOL,
    layer_of,
    place_of_numbers,
    row,
    word,
    words,
)

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
    """Files of small networks: every kind of layer, both dtypes, every algorithm."""
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
    for shape, layers in described:
        for dtype in (np.float64, np.float32):
            for algorithm, images in (("auto", 1), ("im2col", 8), ("winograd", 64)):
                net = matconv.Network(shape, layers, dtype, algorithm)
                files.append(net._encoded(net.init(seed=1), images))
    return list(dict.fromkeys(files))


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
        "flip", "flip_structure", "word", "header", "layer", "layer", "layer", "layer", "swap",
        "same_word", "wrap", "truncate", "splice", "insert", "repeat_layer", "drop_layer", "numbers",
    )  # fmt: skip

    def value(self):
        if self.pick(3):
            return INTERESTING[self.pick(len(INTERESTING))]
        return self.pick(20)

    def put(self, data, k, value):
        if WORD * (k + 1) <= len(data):
            data[WORD * k : WORD * (k + 1)] = (value % 2**64).to_bytes(WORD, "little")
        return data

    def layers(self, data):
        count = int.from_bytes(data[4 * WORD : 5 * WORD], "little")
        return max(1, min(count, (len(data) // WORD - HEADER) // LAYER))

    def row(self, data):
        return HEADER + LAYER * self.pick(self.layers(data))

    def flip(self, data):
        if data:
            data[self.pick(len(data))] ^= 1 << self.pick(8)
        return data

    def flip_structure(self, data):
        end = min(len(data), WORD * (HEADER + LAYER * self.layers(data)))
        if end:
            data[self.pick(end)] ^= 1 << self.pick(8)
        return data

    def word(self, data):
        return self.put(data, self.pick(len(data) // WORD + 1), self.value())

    def header(self, data):
        return self.put(data, 1 + self.pick(9), self.value())

    def layer(self, data):
        row = self.row(data)
        for _ in range(1 + self.pick(3)):
            data = self.put(data, row + self.pick(LAYER), self.value())
        return data

    def same_word(self, data):
        """A value plus or minus a little."""
        k = 1 + self.pick(HEADER + LAYER * self.layers(data))
        old = int.from_bytes(data[WORD * k : WORD * (k + 1)], "little")
        return self.put(data, k, old + self.pick(7) - 3)

    def wrap(self, data):
        """Sizes of an image whose product is the same modulo 2**64, but not in truth."""
        old = [int.from_bytes(data[WORD * k : WORD * (k + 1)], "little") for k in (6, 7, 8)]
        sign, other = 1 - 2 * self.pick(2), 2**63
        while other >= 2**63:
            odd = int(self.random.integers(2**62)) | 1
            other = sign * old[0] * old[1] * old[2] * pow(odd, -1, 2**64) % 2**64
        for k, value in enumerate(self.random.permutation(3)):
            data = self.put(data, 6 + k, (sign, odd, other)[value])
        return data

    def swap(self, data):
        i, j = self.row(data) + self.pick(LAYER), self.row(data) + self.pick(LAYER)
        one, two = data[WORD * i : WORD * (i + 1)], data[WORD * j : WORD * (j + 1)]
        if len(one) == len(two) == WORD:
            data[WORD * i : WORD * (i + 1)], data[WORD * j : WORD * (j + 1)] = two, one
        return data

    def truncate(self, data):
        return data[: self.pick(len(data) + 1)]

    def splice(self, data):
        other = self.files[self.pick(len(self.files))]
        step = (1, WORD, WORD * LAYER)[self.pick(3)]
        cut = self.pick(min(len(data), len(other)) // step + 1) * step
        return data[:cut] + bytearray(other[cut:])

    def insert(self, data):
        at = self.pick(len(data) + 1)
        return data[:at] + bytearray(self.random.bytes(self.pick(40))) + data[at:]

    def repeat_layer(self, data):
        row = self.row(data)
        times = 1 + (self.pick(4000) if self.pick(20) == 0 else self.pick(3))
        data = self.put(data, 4, self.layers(data) + times)
        piece = data[WORD * row : WORD * (row + LAYER)]
        return data[: WORD * row] + piece * times + data[WORD * row :]

    def drop_layer(self, data):
        row = self.row(data)
        data = self.put(data, 4, self.layers(data) - 1)
        return data[: WORD * row] + data[WORD * (row + LAYER) :]

    def numbers(self, data):
        """Weights that are no usual numbers."""
        start = HEADER + LAYER * self.layers(data)
        bits = (0x7FF0 << 48, 0x7FF8 << 48, 1, 0x7FE0 << 48, 0x7F800000FF800000, 2**64 - 1)
        return self.put(data, start + self.pick(8), bits[self.pick(len(bits))])


def fitted(data):
    """As many bytes of parameters as the layers ask for, where that is not too many.

    Most changes of a layer change how many there are, and such a file would only ever be refused
    for its length.
    """
    if len(data) % WORD or len(data) < WORD * HEADER or word(data, 3) not in (4, 8):
        return data
    if not 1 <= word(data, 4) <= 4096 or len(data) < place_of_numbers(data):
        return data
    shape, numbers = tuple(word(data, k) for k in (6, 7, 8)), 0
    for k in range(word(data, 4)):
        if word(data, HEADER + LAYER * k) in (MAX_POOL, AVG_POOL):
            at = WORD * (HEADER + LAYER * k + 3)
            data[at : at + WORD] = words(shape[2])
        layer = layer_of(shape, row(data, k))
        if layer is None:
            return data
        shape = layer.output_shape
        numbers += layer.parameters
    place = place_of_numbers(data)
    whole = -(-(place + numbers * word(data, 3)) // WORD) * WORD + WORD
    if whole > LARGEST:
        return data
    body = data[:-WORD][: whole - WORD]
    rest = data[place:-WORD] or bytes(WORD)
    while len(body) < whole - WORD:
        body += rest[: whole - WORD - len(body)]
    body += bytes(WORD)
    body[2 * WORD : 3 * WORD] = words(len(body))
    return body
