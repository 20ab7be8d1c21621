"""Damaged, forged and newer files of exported networks are refused, whatever their CRC says."""

import itertools
import random
import re
import tracemalloc

import numpy as np
import pytest
from exported_files import (
    AVG_POOL,
    CONV,
    DENSE,
    HEADER,
    LAYER,
    MAGIC,
    RECORDS,
    exported,
    record,
    resigned,
    small,
    understood,
    with_word,
    word,
    words,
)

from matconv.kernels.predictor import Predictor

DTYPES = ("float64", "float32")
DAMAGED = "^Predictor: not an exported network, or a damaged one$"
NEWER = "^Predictor: an exported network of a newer version of the format$"


def refused(data, match=DAMAGED):
    """Whether the library refuses these bytes, with this message."""
    try:
        Predictor(data)
    except ValueError as error:
        assert re.search(match, str(error)), str(error)
        return True
    return False


# Damage


@pytest.mark.catalogue(50)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_truncation(dtype):
    good = small(dtype)
    for length in range(len(good)):
        assert refused(good[:length])
    # what is left signed, with the right length: the numbers are not enough
    for length in range(88, len(good), 8):
        assert refused(with_word(good[:length], 2, length))


@pytest.mark.catalogue(50)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_flipped_byte(dtype):
    """All 255 other values where the words are, and the CRC; some where the numbers are."""
    good = small(dtype)
    numbers = range(8 * (HEADER + LAYER * len(RECORDS)), len(good) - 8)
    for i in range(len(good)):
        masks = (1, 128, 255) if i in numbers else range(1, 256)
        for mask in masks:
            damaged = bytearray(good)
            damaged[i] ^= mask
            # the version is looked at first: a newer one may have another checksum
            newer = i // 8 == 1 and word(damaged, 1) > 1
            assert refused(damaged, NEWER if newer else DAMAGED)


@pytest.mark.catalogue(50)
def test_every_byte_left_out_or_doubled():
    good = small()
    for i in range(len(good)):
        assert refused(good[:i] + good[i + 1 :])
        assert refused(good[: i + 1] + good[i:])


def test_trailing_bytes():
    good = small()
    for more in range(1, 25):
        for extra in (bytes(more), b"\xff" * more, good[-more:]):
            assert refused(good + extra)
            longer = good[:-8] + extra + bytes(8)
            if more % 8 == 0:
                assert refused(with_word(longer, 2, len(longer)))


@pytest.mark.parametrize("i", range(-12, -8))
def test_what_fills_the_last_word_is_zero(i):
    data = bytearray(small("float32"))
    assert len(data) % 8 == 0 and data[-12:-8] == bytes(4) != data[-16:-12]
    data[i] = 1
    assert refused(resigned(data))


@pytest.mark.catalogue(49)
@pytest.mark.parametrize("version", [2, 3, 2**32, 2**63 - 1])
def test_a_newer_version_is_named(version):
    """Whatever else a newer version changed: the checksum, the length, the layers."""
    for data in (small(version=version), MAGIC + words(version) + bytes(72)):
        assert refused(data, NEWER)


@pytest.mark.parametrize("version", [0, -1, 2**63, 2**64 - 2])
def test_what_is_no_version(version):
    assert refused(small(version=version))


# Forged words: signed, so that what reads them is reached

VALUES = (
    0,
    1,
    2,
    3,
    4,
    5,
    8,
    -1,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**61,
    2**62,
    2**63 - 1,
    -(2**63),
)

# Where most words are free: a window over large padding, strides, dilation.
FREE = {
    "conv": exported((6, 5, 4), [record(CONV, 4, (3, 2), groups=2)], [np.arange(52)]),
    "winograd": exported((6, 5, 1), [record(CONV, 1, (2, 2), algorithm=2)], [np.arange(5)]),
    "mean": exported((6, 5, 4), [record(AVG_POOL, 4, (3, 2))], []),
    "dense": exported((2, 3, 2), [record(DENSE, 3)], [np.arange(39)], "float32"),
}


def agrees(data):
    """The library and the reading by hand make the same of a file; whether it is a network."""
    expected = understood(data)
    newer = data[:8] == MAGIC and word(data, 1) > 1
    try:
        predictor = Predictor(data)
    except ValueError as error:
        assert re.search(NEWER if newer else DAMAGED, str(error))
        assert expected is None, f"refused: {expected}"
        return False
    assert expected is not None, f"accepted: {[word(data, k) for k in range(len(data) // 8)]}"
    given, out = expected.input_shape, expected.output_shape
    assert predictor.input_shape == given
    assert predictor.output_shape == ((out[2],) if expected.kind == DENSE else out)
    assert predictor.dtype.itemsize == expected.item_size
    if np.prod([*given, *out], dtype=float) < 1e5:
        Z = np.ones((2, *given), predictor.dtype)
        assert predictor(Z).shape == (2, *predictor.output_shape)
    else:
        assert predictor.workspace_size(0) >= 0
    return True


@pytest.mark.parametrize("name", ["small", *FREE])
def test_every_word_set_to_what_is_hard(name):
    """Each word 0, 1, -1, powers of 2 and their neighbours, and one more or less than it was."""
    good = small() if name == "small" else FREE[name]
    assert agrees(good)
    networks = files = 0
    for k in range(word(good, 4) * LAYER + HEADER):
        own = word(good, k)
        for value in {*VALUES, own + 1, own - 1, own * 2, -own}:
            networks += agrees(with_word(good, k, value))
            files += 1
    assert files > 400 and networks > 20


@pytest.mark.parametrize("seed", range(4))
def test_many_words_at_once(seed):
    """Random changes of a few words, mostly to small numbers."""
    draw = random.Random(seed)
    networks = 0
    for data in itertools.islice(itertools.cycle([small(), *FREE.values()]), 3000):
        last = word(data, 4) * LAYER + HEADER
        changed = data
        for _ in range(draw.randint(1, 4)):
            k = draw.randrange(3, last)
            value = draw.choice([0, 1, 1, 2, 2, 3, 4, 6, draw.choice(VALUES)])
            changed = with_word(changed, k, value)
        networks += agrees(changed)
    assert networks > 100


def product_of(wanted):
    """Three sizes whose product is this, modulo 2**64, and far too large."""
    for a in range(2**61 + 1, 2**62, 2):
        d = wanted * pow(3 * a, -1, 2**64) % 2**64
        if 0 < d < 2**63:
            return 3, a, d
    return None


def test_words_of_shape_whose_product_wraps():
    wrapped = [product_of(wanted) for wanted in (1, 2, 6)]
    for shape, numbers in zip(wrapped, (1, 2, 6)):
        assert np.prod(shape, dtype=object) % 2**64 == numbers
        assert refused(exported(shape, [record(DENSE, 1)], [range(numbers + 1)]))
    for shape in ((2**32, 2**32, 1), (2**62, 4, 1), (2**21, 2**21, 2**22), (2**63 - 1, 1, 2)):
        assert refused(exported(shape, [record(DENSE, 1)], [[1, 2]]))
        assert refused(exported(shape, [record(AVG_POOL, shape[2])], []))


def test_numbers_may_be_any():
    """NaN and infinities are weights too."""
    data = exported((1, 1, 1), [record(DENSE, 3)], [[np.nan, np.inf, 1, 0, 0, -np.inf]])
    out = Predictor(data)(np.ones((1, 1, 1, 1)))
    assert np.isnan(out[0, 0]) and out[0, 1:].tolist() == [np.inf, -np.inf]


# Memory


def peak(data):
    """Bytes that opening takes at most."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        try:
            Predictor(data)
        except ValueError:
            pass
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_what_is_refused_allocates_nothing():
    for k, value in itertools.product(range(3, HEADER + LAYER * len(RECORDS)), VALUES):
        data = with_word(small(), k, value)
        if understood(data) is None:
            assert peak(data) < 4096
    giant = exported((1, 1, 2**30), [record(DENSE, 2**30)], [])
    assert peak(giant) < 4096


@pytest.mark.parametrize("dtype", DTYPES)
def test_opening_allocates_a_small_multiple_of_the_file(dtype):
    """A tile of at most 10 x 10 inputs makes at most 100 numbers of a filter's h_b h_a."""
    for algorithm, most in ((1, 4), (0, 120), (2, 120)):
        for shape, channels, kernel in (
            ((64, 64, 1024), 1, (2, 2)),
            ((64, 64, 1), 1024, (2, 2)),
            ((64, 64, 64), 64, (3, 3)),
            ((2**20, 2**10, 64), 1, (2, 2)),
            ((1, 1, 2**15), 1, (1, 1)),
            ((9, 9, 2000), 2, (5, 1)),
        ):
            row = record(CONV, channels, kernel, algorithm=algorithm)
            numbers = kernel[0] * kernel[1] * shape[2] * channels + channels
            data = exported(shape, [row], [np.ones(numbers)], dtype)
            assert peak(data) < most * len(data) + 32768, (shape, channels, kernel, algorithm)


def test_resigned_is_the_identity_on_good_files():
    for data in (small(), small("float32"), *FREE.values()):
        assert resigned(data) == data and understood(data)
