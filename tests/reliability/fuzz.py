"""Exported networks, mutated: ``python tests/reliability/fuzz.py --seconds 30 --seed 0``.

Each execution takes the file of a small network, changes it by its structure (a word of a layer,
two files spliced, a layer twice, bits, a piece cut out or put in) and opens it from memory. A
file that opens must be what `Plan`, a second reading of the format, says it is, must cost little
memory, and must predict with every array flush against a forbidden page; a file that `Plan`
accepts must open. The same seed makes the same files. A file at which the process dies stands
in ``--current``.
"""

import argparse
import collections
import ctypes
import faulthandler
import mmap
import resource
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
from guarded import Guard
from table import STATUS_NAMES, Opened

import matconv
from matconv import AvgPool, Conv, Dense, MaxPool

WORD, HEADER, LAYER = 8, 10, 16
MAGIC = b"\x89matcnv\n"
LARGEST = 1 << 20  # bytes of a mutated file
MOST = 2**63 - 1
INT_MAX = 2**31 - 1

# what opening may cost at most: bytes of memory for each of the file, and beside that
MEMORY_FACTOR = 64
MEMORY_BESIDE = 1 << 20
# what is predicted: bytes of scratch, images and outputs, and multiply-adds
MOST_BYTES = 64 << 20
MOST_WORK = 20_000_000

INTERESTING = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 31, 32, 63, 64, 65, 100, 127, 128, 255, 256,
    1000, 4095, 4096, 4097, 65535, 65536, 65537, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1,
    2**40, 2**58, 2**60, 2**61, 2**62, 2**62 + 1, 2**63 - 2, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1,
)  # fmt: skip


# Seeds -------------------------------------------------------------------------------------------


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


# A second reading --------------------------------------------------------------------------------


@dataclass
class Plan:
    """What a file says, by the description of the format alone; Python's integers are exact."""

    item_size: int
    input_shape: tuple
    output_shape: tuple
    work: int  # multiply-adds and numbers moved for one image

    @classmethod
    def of(cls, data):
        """A plan; None where the file does not hold to the format."""
        try:
            return cls._read(data)
        except AssertionError:
            return None

    @classmethod
    def _read(cls, data):
        assert len(data) % WORD == 0 and len(data) >= WORD * HEADER and data[:WORD] == MAGIC
        words = [
            int.from_bytes(data[k : k + WORD], "little")
            for k in range(0, min(len(data), WORD * (HEADER + LAYER * 4097)), WORD)
        ]
        version, length, item_size, layers, images, b, a, d, zero = words[1:HEADER]
        assert version == 1 and length == len(data) and zero == 0
        assert int.from_bytes(data[-WORD:], "little") == zlib.crc32(data[:-WORD])
        assert item_size in (4, 8) and 1 <= layers <= 4096 and 1 <= images <= 65536
        shape, numbers, work = (b, a, d), 0, 0
        for k in range(layers):
            row = words[HEADER + LAYER * k : HEADER + LAYER * (k + 1)]
            assert len(row) == LAYER
            shape, more, one = cls._layer(shape, row)
            numbers += more
            work += one
        place = WORD * (HEADER + LAYER * layers) + numbers * item_size
        assert len(data) == -(-place // WORD) * WORD + WORD and not any(data[place:-WORD])
        return cls(item_size, (b, a, d), shape, work)

    @staticmethod
    def _layer(shape, row):
        """Shape of the output, numbers of the parameters, work."""
        kind, relu, algorithm, d_out, groups, h_b, h_a, s_b, s_a = row[:9]
        top, bottom, left, right, dil_b, dil_a, zero = row[9:]
        assert 1 <= kind <= 4 and relu <= 1 and zero == 0 and max(row) <= MOST
        assert algorithm <= (2 if kind == 1 else 0)
        b, a, d = shape
        if kind == 2:
            b, a, d = 1, 1, b * a * d
            assert row[4:9] + row[13:15] == [1] * 7 and row[9:13] == [0] * 4
        if kind >= 3:
            assert relu == 0 and groups == dil_b == dil_a == 1 and d_out == d
            assert max(top, bottom) < h_b and max(left, right) < h_a and b * a <= INT_MAX
        assert min(b, a, d, d_out, groups, h_b, h_a, s_b, s_a, dil_b, dil_a) >= 1
        assert d % groups == 0 and d_out % groups == 0
        out = []
        for n, before, after, h, s, dilation in (
            (b, top, bottom, h_b, s_b, dil_b), (a, left, right, h_a, s_a, dil_a),
        ):  # fmt: skip
            extent = (h - 1) * (dilation if h > 1 else 1) + 1
            assert n + before + after <= MOST and extent <= n + before + after
            out.append((n + before + after - extent) // s + 1)
        K = h_b * h_a * d // groups
        assert max(d, d_out, K) <= INT_MAX
        for size in (b * a * d, out[0] * out[1] * d_out, K * d_out):
            assert size * 8 <= MOST
        work = out[0] * out[1] * d_out * K + b * a * d
        return (*out, d_out), (d_out * (K + 1) if kind <= 2 else 0), work


# Mutations ---------------------------------------------------------------------------------------


class Mutator:
    """Makes files out of the seeds, the same ones for the same seed."""

    def __init__(self, files, seed):
        self.files = list(files)
        self.first = len(files)
        self.random = np.random.default_rng(seed)
        self.last_pick = 0

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
    words = [int.from_bytes(data[k : k + WORD], "little") for k in range(0, len(data), WORD)]
    if len(words) < HEADER or not 1 <= words[4] <= 4096 or words[3] not in (4, 8):
        return data
    shape, numbers = tuple(words[6:9]), 0
    try:
        for k in range(words[4]):
            row = words[HEADER + LAYER * k : HEADER + LAYER * (k + 1)]
            assert len(row) == LAYER
            if row[0] in (3, 4):
                row[3] = shape[2]
                at = WORD * (HEADER + LAYER * k + 3)
                data[at : at + WORD] = (row[3] % 2**64).to_bytes(WORD, "little")
            shape, more, _ = Plan._layer(shape, row)
            numbers += more
    except AssertionError:
        return data
    place = WORD * (HEADER + LAYER * words[4])
    whole = -(-(place + numbers * words[3]) // WORD) * WORD + WORD
    if whole > LARGEST:
        return data
    body = data[:-WORD][: whole - WORD]
    rest = data[place:-WORD] or b"\0" * WORD
    while len(body) < whole - WORD:
        body += rest[: whole - WORD - len(body)]
    body = body[: whole - WORD] + b"\0" * WORD
    body[2 * WORD : 3 * WORD] = len(body).to_bytes(WORD, "little")
    return body


# One execution -----------------------------------------------------------------------------------


class Failure(AssertionError):
    """What a file did that no file may do."""


def check(condition, message, *values):
    if not condition:
        raise Failure(": ".join([message, *map(str, values)]))


def address_space():
    """Bytes of the process that are mapped."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * mmap.PAGESIZE


class Runner:
    """Opens files and predicts; counts what came of them."""

    def __init__(self, limited):
        self.limited = limited
        # blocks of 32 KiB and more come from the system, and never from what others have left
        ctypes.CDLL(None).mallopt(-3, 1 << 15)
        self.counts = collections.Counter()
        self.predicted = 0
        self.beyond = 0

    def open(self, data):
        """The network, which the limit on memory lets cost so much and no more."""
        if not self.limited:
            return Opened(data)
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        allowed = address_space() + MEMORY_FACTOR * len(data) + MEMORY_BESIDE
        resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))
        try:
            return Opened(data)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    def execute(self, data):
        """One file; True when it opened."""
        plan = Plan.of(data)
        with self.open(data) as network:
            status = STATUS_NAMES[network.status]
            self.counts[status] += 1
            if network.status:
                check(status in ("FORMAT", "VERSION"), "refused with another status", status)
                # what predicting needs may not fit though every layer does
                check(plan is None or workspace_is_huge(plan), "a good file is refused", plan)
                return False
            check(plan is not None, "a bad file is accepted")
            found = network.shape()
            expected = (plan.input_shape, plan.output_shape, plan.item_size)
            check(found == expected, "sizes", found, expected)
            self.predict(network, plan)
        return True

    def predict(self, network, plan):
        """One image and two, with guarded arrays; the old contents of memory change nothing."""
        dtype = np.dtype(f"f{plan.item_size}")
        size_in, size_out = (int(np.prod(s, dtype=object)) for s in found_sizes(plan))
        for n in (1, 2):
            workspace = network.workspace(n)
            check(workspace >= -4, "the workspace has no size", workspace)
            total = (workspace + n * (size_in + size_out)) * plan.item_size
            if workspace < 0 or total > MOST_BYTES or n * plan.work > MOST_WORK:
                self.beyond += 1
                return
            with Guard(at_end=bool(n % 2)) as guard:
                images = guard.copy(image_numbers(n, plan.input_shape, dtype))
                found = []
                for poison in (0xFF, 0xA5):
                    out = guard.empty((n, *plan.output_shape), dtype)
                    scratch = guard.empty((workspace,), dtype)
                    out.view(np.uint8).fill(poison)
                    scratch.view(np.uint8).fill(poison)
                    status = network.predict(images, out, scratch)
                    check(status == 0, "predicting", status)
                    found.append(out)
                check(
                    np.array_equal(*found, equal_nan=True), "old contents of memory in the outputs"
                )
                if workspace:
                    status = network.predict(images, out, scratch[:-1])
                    check(status == 8, "scratch that is too small is accepted", status)
        self.predicted += 1


def found_sizes(plan):
    return plan.input_shape, plan.output_shape


def workspace_is_huge(plan):
    """Whether numbers are involved for which any size of scratch may overflow."""
    return plan.work > 2**40


def image_numbers(n, shape, dtype):
    size = n * int(np.prod(shape))
    return (np.arange(size) % 17 - 8.0).astype(dtype).reshape(n, *shape)


def fuzz(seconds, seed, current, limited, report=True):
    """Run for so long; the runner with its counts."""
    runner, mutator = Runner(limited), Mutator(seeds(), seed)
    for data in mutator.files:
        if not runner.execute(data):
            raise Failure("a seed does not open")
    end = time.monotonic() + seconds
    with open(current, "w+b") as file:
        file.truncate(LARGEST + WORD)
        with mmap.mmap(file.fileno(), LARGEST + WORD) as shared:
            while time.monotonic() < end:
                data = mutator.make()
                shared[:WORD] = len(data).to_bytes(WORD, "little")
                shared[WORD : WORD + len(data)] = data
                try:
                    if runner.execute(data):
                        mutator.keep(data)
                except Failure:
                    saved = Path(f"{current}.failed")
                    saved.write_bytes(data)
                    print(f"execution {sum(runner.counts.values())} fails; the file is {saved}")
                    raise
    return runner


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--current", help="where the file that is being opened stands")
    parser.add_argument("--file", type=Path, help="execute this file only")
    options = parser.parse_args()
    faulthandler.enable()
    # under the sanitizer for addresses most of the address space is taken for shadow memory
    with open("/proc/self/maps", encoding="utf-8") as maps:
        limited = "libasan" not in maps.read()
    if options.file:
        print("opened" if Runner(limited).execute(options.file.read_bytes()) else "refused")
        return
    start = time.monotonic()
    current = options.current or Path(tempfile.gettempdir(), f"fuzzed-{options.seed}")
    runner = fuzz(options.seconds, options.seed, current, limited)
    Path(current).unlink()
    opened = runner.counts.pop("OK")
    refused = ", ".join(f"{name} {count}" for name, count in runner.counts.most_common())
    bound = f"{MEMORY_FACTOR} x its size + 1 MiB each" if limited else "memory not limited"
    print(
        f"fuzzed: {opened + runner.counts.total()} executions in {time.monotonic() - start:.0f} s, "
        f"opened {opened} ({runner.predicted} predicted, {runner.beyond} too large to), "
        f"refused: {refused}; {bound}"
    )


if __name__ == "__main__":
    main()
