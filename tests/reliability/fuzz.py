"""Exported networks, mutated: ``python tests/reliability/fuzz.py --seconds 30 --seed 0``.

Each execution takes the file of a small network, changes it by its structure (a word of a record,
an input, an owner, two files spliced, a record twice, bits, a piece cut out or put in) and opens it from memory. A
file that opens must be what `exported_reading.understood`, a second reading of the format, says it
is, must cost little memory, and must predict with every array flush against a forbidden page; a
file that this reading accepts must open. The same seed makes the same files. A file at which the
process dies stands in ``--current``.
"""

import argparse
import collections
import ctypes
import faulthandler
import mmap
import resource
import tempfile
import time
from math import prod
from pathlib import Path

import numpy as np
from reliability.mutations import LARGEST, WORD, Mutator, seeds
from support.capi import OK, SCRATCH, STATUSES
from support.exported_reading import understood
from support.guarded import Guard
from support.opened import Opened

# what opening may cost at most: bytes of memory for each of the file, and beside that
MEMORY_FACTOR = 64
MEMORY_BESIDE = 1 << 20
# what is predicted: bytes of scratch, images and outputs, and multiply-adds
MOST_BYTES = 64 << 20
MOST_WORK = 20_000_000


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
        file = understood(data)
        with self.open(data) as network:
            status = STATUSES[network.status]
            self.counts[status] += 1
            if network.status:
                check(status in ("FORMAT", "VERSION"), "refused with another status", status)
                # parameters may be shared in so many forms that all of them take too much memory
                check(file is None or file.shared, "a good file is refused", file)
                return False
            check(file is not None, "a bad file is accepted")
            check(network.outputs() == len(file.outputs), "outputs", network.outputs())
            for k, shape in enumerate(file.outputs):
                found = network.shape(k)
                expected = (file.input_shape, as_image(shape), file.item_size)
                check(found == expected, "sizes", found, expected)
            self.predict(network, file)
        return True

    def predict(self, network, file):
        """One image and two, with guarded arrays; the old contents of memory change nothing."""
        dtype = np.dtype(f"f{file.item_size}")
        size = prod(file.input_shape) + sum(map(prod, file.outputs))
        for n in (1, 2):
            workspace = network.workspace(n)
            total = MOST_BYTES + 1 if workspace is None else (workspace + n * size) * file.item_size
            if total > MOST_BYTES or n * file.work > MOST_WORK:
                self.beyond += 1
                return
            with Guard(at_end=bool(n % 2)) as guard:
                images = guard.copy(image_numbers(n, file.input_shape, dtype))
                found = []
                for poison in (0xFF, 0xA5):
                    outs = [guard.empty((n, *shape), dtype) for shape in file.outputs]
                    scratch = guard.empty((workspace,), dtype)
                    for array in (*outs, scratch):
                        array.view(np.uint8).fill(poison)
                    status = network.predict(images, outs, scratch)
                    check(status == OK, "predicting", status)
                    found.append(outs)
                for one, other in zip(*found, strict=True):
                    same = np.array_equal(one, other, equal_nan=True)
                    check(same, "old contents of memory in the outputs")
                status = network.predict(images, outs, scratch[:-1])
                check(status == SCRATCH, "scratch that is too small is accepted", status)
        self.predicted += 1


def as_image(shape):
    """The shape that C gives: a vector is one pixel."""
    return shape if len(shape) == 3 else (1, 1, *shape)


def image_numbers(n, shape, dtype):
    size = n * int(np.prod(shape))
    return (np.arange(size) % 17 - 8.0).astype(dtype).reshape(n, *shape)


def fuzz(seconds, seed, current, limited):
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
