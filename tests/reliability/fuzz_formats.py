"""Files of other programs, changed: ``python tests/reliability/fuzz_formats.py --seconds 300``.

Each execution takes a small file, changes it (bits, numbers at a limit, a piece copied, the end cut
off) and reads it. The reader must return, or raise FormatError, within 10 seconds; the peak of the
process's memory must not grow by more than 64 times the file and 64 MB. The same seed makes the same
files. A file at which the process dies stands in ``--current``. ``--only mat73`` takes the files
whose names contain that text.
"""

import argparse
import collections
import faulthandler
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.matlab_contents import CONTENTS
from support.matlab_files import save5, save73

from matconv.io import (
    FormatError,
    load_model,
    read_npy,
    read_picture,
    read_simplenn_config,
    read_simplenn_data,
)

SECONDS = 10
BYTES = 64 << 20
DATA = {
    "dense": np.arange(36.0).reshape(3, 12),
    "sparse": scipy.sparse.csc_array(np.eye(3, 12)[[2, 0, 1]]),
}
CONFIG = b"""% two layers
L = 2; LC = 1; LF = 1; wd_input = 8; ht_input = [6];
ch_input = [1, 4]; wd_pad_added = [1]; wd_filter = 3; strides = 1;
wd_subimage_pool = 2; full_neurons = [10];
"""
LIMITS = (b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\1\0", b"\0\0\0\0")


def seeds(folder):
    """Return the bytes and the reader of each small file, by name."""
    from PIL import Image

    found = {}
    savers = {
        "mat5": save5,
        "mat5z": lambda path, content: save5(path, content, compress=True),
        "mat73": save73,
    }
    for name, content in CONTENTS.items():
        for kind, save in savers.items():
            save(folder / "seed.mat", content)
            found[f"{name}.{kind}"] = (folder / "seed.mat").read_bytes(), load_model
    for kind, save in savers.items():
        for what, Z in DATA.items():
            save(folder / "seed.mat", {"Z": Z, "y": np.array([3.0, -1, 7])})
            content = (folder / "seed.mat").read_bytes()
            found[f"{what}.{kind}"] = content, lambda path: read_simplenn_data(path, (2, 3, 2))
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    for ending in ("png", "jpg"):
        Image.fromarray(pixels).save(folder / f"seed.{ending}")
        found[ending] = (folder / f"seed.{ending}").read_bytes(), read_picture
    text = b"1 1:0.5 3:-2e1 # more\n-7.0 12:1\n3\n"
    found["libsvm"] = text, lambda path: read_simplenn_data(path, (2, 3, 2))
    found["config"] = CONFIG, read_simplenn_config
    np.save(folder / "seed.npy", pixels)
    found["npy"] = (folder / "seed.npy").read_bytes(), read_npy
    return found


def changed(content, choose):
    """Return a changed copy of some bytes."""
    data = bytearray(content)
    if choose.random() < 0.25:
        return bytes(data[: choose.randrange(1, len(data))])
    for _ in range(choose.choice((1, 1, 1, 2, 4, 16))):
        k, kind = choose.randrange(len(data)), choose.random()
        if kind < 0.4:
            data[k] ^= 1 << choose.randrange(8)
        elif kind < 0.7:
            data[k] = choose.choice((0, 1, 127, 128, 255))
        elif kind < 0.85:
            data[k : k + 4] = choose.choice(LIMITS)
        else:
            j = choose.randrange(len(data))
            data[k : k + 8] = data[j : j + 8]
    return bytes(data)


def peak():
    """Return the peak of the memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--current", type=Path)
    options = parser.parse_args()
    faulthandler.enable()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-formats-"))
    current = options.current or folder / "current"
    files = {name: one for name, one in seeds(folder).items() if options.only in name}
    for content, read in files.values():
        current.write_bytes(content)
        read(current)
    choose, counts, slowest = random.Random(options.seed), collections.Counter(), 0.0
    before, end = peak(), time.monotonic() + options.seconds
    while time.monotonic() < end:
        name = choose.choice(sorted(files))
        content, read = files[name]
        data = changed(content, choose)
        current.write_bytes(data)
        start = time.monotonic()
        try:
            read(current)
            counts[name, "read"] += 1
        except FormatError:
            counts[name, "refused"] += 1
        slowest = max(slowest, time.monotonic() - start)
        assert slowest < SECONDS, f"{name}: {slowest:.1f} s for {current}"
        grown = peak() - before
        assert grown <= BYTES + 64 * len(data), f"{name}: {grown} bytes more for {current}"
    for (name, what), count in sorted(counts.items()):
        print(f"{name:20} {what:8} {count}")
    print(f"{counts.total()} executions, slowest {slowest:.2f} s, {peak() - before:,} bytes more")


if __name__ == "__main__":
    main()
