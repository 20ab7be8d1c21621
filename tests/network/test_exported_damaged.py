"""Damaged, forged and newer files of exported networks are refused, whatever their CRC says."""

import itertools
import random
import re
import tracemalloc

import numpy as np
import pytest
from support.exported_files import (
    CLIP,
    LEAKY,
    MAGIC,
    computed,
    conv,
    dense,
    exported,
    graph,
    pool,
    record,
    resigned,
    small,
    steps_of,
    understood,
    with_word,
    word,
    words,
)  # fmt: skip

from matconv.kernels.predictor import Predictor

DTYPES = ("float64", "float32")
DAMAGED = "^Predictor: not an exported network, or a damaged one$"
OTHER = (
    r"^Predictor: an exported network of version \d+ of the format; this matconv reads version 2$"
)
FILES = {"small": small, "graph": graph}


def refused(data, match=DAMAGED):
    """Whether the library refuses these bytes, with this message."""
    try:
        Predictor(data)
    except ValueError as error:
        assert re.search(match, str(error)), str(error)
        return True
    return False


def numbers_at(data):
    """The byte at which theta begins."""
    return 8 * steps_of(data)[1]


# Damage


@pytest.mark.catalogue(50)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_predictor_truncated_is_refused(name, dtype):
    good = FILES[name](dtype)
    for length in range(len(good)):
        assert refused(good[:length])
    # what is left signed, with the right length: the numbers are not enough
    for length in range(112, len(good), 8):
        assert refused(with_word(good[:length], 2, length))


@pytest.mark.catalogue(50)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_predictor_flipped_byte_is_refused(name, dtype):
    """Other values where the words are, and the CRC; some where the numbers are."""
    good = FILES[name](dtype)
    numbers = range(numbers_at(good), len(good) - 8)
    for i in range(len(good)):
        masks = (1, 128, 255) if i in numbers or name == "graph" else range(1, 256)
        for mask in masks:
            damaged = bytearray(good)
            damaged[i] ^= mask
            # the version is looked at first: another one may have another checksum
            other = i // 8 == 1 and word(damaged, 1) > 0
            assert refused(damaged, OTHER if other else DAMAGED)


@pytest.mark.catalogue(50)
@pytest.mark.parametrize("name", FILES)
def test_predictor_byte_left_out_or_doubled_is_refused(name):
    good = FILES[name]()
    for i in range(len(good)):
        assert refused(good[:i] + good[i + 1 :])
        assert refused(good[: i + 1] + good[i:])


def test_predictor_trailing_bytes_are_refused():
    good = small()
    for more in range(1, 25):
        for extra in (bytes(more), b"\xff" * more, good[-more:]):
            assert refused(good + extra)
            longer = good[:-8] + extra + bytes(8)
            if more % 8 == 0:
                assert refused(with_word(longer, 2, len(longer)))


@pytest.mark.parametrize("i", range(-12, -8))
def test_predictor_padding_that_is_not_zero_is_refused(i):
    data = bytearray(small("float32"))
    assert len(data) % 8 == 0 and data[-12:-8] == bytes(4) != data[-16:-12]
    data[i] = 1
    assert refused(resigned(data))


@pytest.mark.catalogue(49)
@pytest.mark.parametrize("version", [1, 3, 2**32, 2**63 - 1])
def test_predictor_other_version_names_both(version):
    """Whatever else another version has: the checksum, the length, the layers."""
    message = f"of version {version} of the format; this matconv reads version 2$"
    for data in (small(version=version), MAGIC + words(version) + bytes(96)):
        assert refused(data, message)


def test_predictor_file_of_0_1_0_names_both_versions():
    """The dense layer of two numbers as format 1 had it."""
    layer = (2, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0)
    body = MAGIC + words(1, 232, 8, 1, 1, 1, 1, 1, 0, *layer) + np.array([3.0, -1.0]).tobytes()
    data = resigned(body + bytes(8))
    assert len(data) == 232
    assert refused(data, "of version 1 of the format; this matconv reads version 2$")


@pytest.mark.parametrize("version", [0, -1, 2**63, 2**64 - 2])
def test_predictor_version_that_is_none_is_refused(version):
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
    "conv": exported((6, 5, 4), [conv(0, 4, (3, 2), groups=2)], [np.arange(52)]),
    "winograd": exported((6, 5, 1), [conv(0, 1, (2, 2), algorithm=2)], [np.arange(5)]),
    "mean": exported((6, 5, 4), [pool("AvgPool", 0, (3, 2))], []),
    "dense": exported((2, 3, 2), [dense(0, 3)], [np.arange(39)], "float32"),
    "graph": graph("float32"),
}


def agrees(data):
    """The library and the reading by hand make the same of a file; whether it is a network."""
    expected = understood(data)
    other = data[:8] == MAGIC and word(data, 1) != 2 and word(data, 1) > 0
    try:
        predictor = Predictor(data)
    except ValueError as error:
        assert re.search(OTHER if other else DAMAGED, str(error))
        assert expected is None, f"refused: {expected}"
        return False
    assert expected is not None, f"accepted: {[word(data, k) for k in range(len(data) // 8)]}"
    outputs = expected.outputs
    assert predictor.input_shape == expected.input_shape
    assert predictor.output_shape == (outputs if len(outputs) > 1 else outputs[0])
    assert predictor.dtype.itemsize == expected.item_size
    if expected.work < 1e6:
        found = predictor(np.ones((2, *expected.input_shape), predictor.dtype))
        found = found if isinstance(found, tuple) else (found,)
        assert [out.shape for out in found] == [(2, *shape) for shape in outputs]
    else:
        assert predictor.workspace_size(0) > 0
    return True


@pytest.mark.parametrize("name", ["small", *FREE])
def test_predictor_each_word_set_to_hard_values(name):
    """Each word 0, 1, -1, powers of 2 and their neighbours, and one more or less than it was."""
    good = small() if name == "small" else FREE[name]
    assert agrees(good)
    networks = files = 0
    for k in range(numbers_at(good) // 8):
        own = word(good, k)
        for value in {*VALUES, own + 1, own - 1, own * 2, -own}:
            networks += agrees(with_word(good, k, value))
            files += 1
    assert files > 400 and networks > 20


@pytest.mark.parametrize("seed", range(4))
def test_predictor_several_words_changed(seed):
    """Random changes of a few words, mostly to small numbers."""
    draw = random.Random(seed)
    networks = 0
    for data in itertools.islice(itertools.cycle([small(), *FREE.values()]), 3000):
        last = numbers_at(data) // 8
        changed = data
        for _ in range(draw.randint(1, 4)):
            k = draw.randrange(3, last)
            value = draw.choice([0, 1, 1, 2, 2, 3, 4, 6, draw.choice(VALUES)])
            changed = with_word(changed, k, value)
        networks += agrees(changed)
    assert networks > 100


# Graphs

ADD = ("Add", [1, 2], (), [1.0, 1.0])
BASE = (pool("MaxPool", 0, (1, 1)), pool("AvgPool", 0, (1, 1)))


def described(*records, outputs=None, arrays=(), **changes):
    return exported((2, 2, 2), records, arrays, outputs=outputs, **changes)


SCALES = (record("Scale", [0], [0]), record("Scale", [1], [0], owner=1))
GRAPHS = {
    "input is the step's own value": described(*BASE, record("Add", [1, 3], (), [1.0, 1.0])),
    "input is a later value": described(record("Add", [0, 2], (), [1.0, 1.0]), BASE[0]),
    "input is negative": described(*BASE, record("Add", [1, -1], (), [1.0, 1.0])),
    "value that nothing reads": described(*BASE),
    "image that nothing reads": described(record("Scale", [1], [0]), arrays=[[1, 1]]),
    "output twice": described(*BASE, outputs=[1, 2, 1]),
    "output is the image": described(*BASE, outputs=[1, 2, 0]),
    "output is no value": described(*BASE, outputs=[1, 2, 3]),
    "output is negative": described(*BASE, outputs=[1, 2, -1]),
    "no outputs": described(BASE[0], outputs=[]),
    "unknown operation": described(record("Sqrt", [0])),
    "operation in small letters": described(record("maxpool", [0], [1, 1, 1, 1, 0, 0, 0, 0])),
    "no operation": described(record("", [0])),
    "name of 16 characters": described(record("A" * 16, [0])),
    "bytes after the name's zero": described(record("Scale\0x", [0], [0]), arrays=[[1, 1]]),
    "one input too few": described(BASE[0], record("Add", [1], (), [1.0])),
    "no inputs": described(record("Activation", [])),
    "one input too many": described(*BASE, record("Activation", [1, 2])),
    "one word too many": described(record("Scale", [0], [0, 0]), arrays=[[1, 1]]),
    "one word too few": described(record("Scale", [0]), arrays=[[1, 1]]),
    "numbers that are not asked for": described(record("Activation", [0], (), [1.0])),
    "one factor too few": described(*BASE, record("Add", [1, 2], (), [1.0])),
    "shapes that differ": described(BASE[0], record("Crop", [0], [1, 0, 0, 0]), record(*ADD)),
    "an image and a vector": described(
        BASE[0], dense(0, 8), record("Multiply", [1, 2]), arrays=[np.ones(72)]
    ),
    "vectors have no windows": described(
        dense(0, 4), pool("MaxPool", 1, (1, 1)), arrays=[np.ones(36)]
    ),
    "crop of everything": described(record("Crop", [0], [1, 1, 0, 0])),
    "crop that is negative": described(record("Crop", [0], [-1, 0, 0, 0])),
    "crop whose sum wraps": described(record("Crop", [0], [2**62, 2**62, 0, 0])),
    "activation that is unknown": described(record("Activation", [0], activation=(4, 0.0, 0.0))),
    "negative activation": described(record("Activation", [0], activation=(-1, 0.0, 0.0))),
    "numbers beside a ReLU": described(record("Activation", [0], activation=(1, 1.0, 0.0))),
    "slope of 0": described(record("Activation", [0], activation=(LEAKY, 0.0, 0.0))),
    "slope of NaN": described(record("Activation", [0], activation=(LEAKY, np.nan, 0.0))),
    "clip the wrong way": described(record("Activation", [0], activation=(CLIP, 1.0, 1.0))),
    "clip at NaN": described(record("Activation", [0], activation=(CLIP, 0.0, np.nan))),
    "bias that is neither 0 nor 1": described(record("Scale", [0], [2]), arrays=[np.ones(4)]),
    "owner is the step itself": described(record("Scale", [0], [0], owner=1)),
    "owner is a later step": described(
        record("Scale", [0], [0], owner=2), record("Scale", [1], [0]), arrays=[[1, 1]]
    ),
    "owner is negative": described(record("Scale", [0], [0], owner=-1), arrays=[[1, 1]]),
    "owner has an owner": described(
        *SCALES, record("Scale", [2], [0], owner=2), arrays=[[1, 1]]
    ),
    "owner without parameters": described(BASE[0], record("Scale", [1], [0], owner=1)),
    "owner of a step without parameters": described(
        record("Scale", [0], [0]), record("Activation", [1], owner=1), arrays=[[1, 1]]
    ),
    "owner with other sizes": described(
        record("Scale", [0], [0]), record("Concat", [1, 1]), record("Scale", [2], [0], owner=1),
        arrays=[[1, 1]],
    ),
    "owner with more arrays": described(
        record("Scale", [0], [1]), record("Scale", [1], [0], owner=1), arrays=[[1, 1, 1, 1]]
    ),
    "theta is too long": described(record("Scale", [0], [0]), arrays=[[1, 1, 1]]),
    "theta is too short": described(record("Scale", [0], [0]), arrays=[[1]]),
}  # fmt: skip


@pytest.mark.catalogue(50)
@pytest.mark.parametrize("name", GRAPHS)
def test_predictor_graph_error_is_refused(name):
    assert understood(GRAPHS[name]) is None
    assert refused(GRAPHS[name])


@pytest.mark.parametrize(
    "data",
    [
        described(*BASE, record(*ADD)),
        described(*BASE, record(*ADD), outputs=[3, 1, 2]),
        described(BASE[0], record("Add", [1, 1, 1], (), [1.0, np.nan, np.inf])),
        described(*SCALES, arrays=[[1, 1]]),
        described(record("Crop", [0], [1, 0, 0, 1])),
        described(record("Activation", [0], activation=(CLIP, -np.inf, 0.0))),
        described(record("Activation", [0], activation=(0, -0.0, 0.0))),
        # the same sizes, another operation
        described(
            conv(0, 4, (2, 2)), dense(0, 4, owner=1), record("Concat", [2, 2]), arrays=[np.ones(36)],
            outputs=[1, 3],
        ),
    ],
)  # fmt: skip
def test_predictor_unusual_graph_is_accepted(data):
    assert agrees(data)


def product_of(wanted):
    """Three sizes whose product is this, modulo 2**64, and far too large."""
    for a in range(2**61 + 1, 2**62, 2):
        d = wanted * pow(3 * a, -1, 2**64) % 2**64
        if 0 < d < 2**63:
            return 3, a, d
    return None


def test_predictor_shape_whose_product_wraps_is_refused():
    wrapped = [product_of(wanted) for wanted in (1, 2, 6)]
    for shape, numbers in zip(wrapped, (1, 2, 6)):
        assert np.prod(shape, dtype=object) % 2**64 == numbers
        assert refused(exported(shape, [dense(0, 1)], [range(numbers + 1)]))
    for shape in ((2**32, 2**32, 1), (2**62, 4, 1), (2**21, 2**21, 2**22), (2**63 - 1, 1, 2)):
        assert refused(exported(shape, [dense(0, 1)], [[1, 2]]))
        assert refused(exported(shape, [pool("AvgPool", 0, (1, 1))], []))


def test_predictor_parameters_may_be_any_numbers():
    """NaN and infinities are weights too."""
    data = exported((1, 1, 1), [dense(0, 3)], [[np.nan, np.inf, 1, 0, 0, -np.inf]])
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


def test_predictor_refused_allocates_no_more_than_its_description():
    """A program is made of what can be read, never of what a word asks for."""
    good = small()
    limit = peak(good) + 4096
    for k, value in itertools.product(range(3, numbers_at(good) // 8), VALUES):
        data = with_word(good, k, value)
        if understood(data) is None:
            assert peak(data) < limit
    giant = exported((1, 1, 2**30), [dense(0, 2**30)], [])
    assert peak(giant) < limit


@pytest.mark.parametrize("dtype", DTYPES)
def test_predictor_allocates_a_small_multiple_of_the_file(dtype):
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
            row = conv(0, channels, kernel, algorithm=algorithm)
            numbers = kernel[0] * kernel[1] * shape[2] * channels + channels
            data = exported(shape, [row], [np.ones(numbers)], dtype)
            assert understood(data) is not None
            assert peak(data) < most * len(data) + 65536, (shape, channels, kernel, algorithm)


@pytest.mark.parametrize("kind", ["same", "other padding", "other images"])
def test_predictor_shared_filters_allocate_a_multiple_of_the_file(kind):
    """Each use might want them in another form."""
    records, value = [conv(0, 32, (3, 3), pad=(1, 1, 1, 1))], 1
    for k in range(300):
        pad = (1, 1, 1, 1) if kind == "same" else (1 + k % 7, 1, 1 + k % 5, 1)
        records.append(conv(value, 32, (3, 3), pad=pad, owner=1))
        value += 1
        if kind == "other padding":
            records.append(record("Crop", [value], [k % 7, 0, k % 5, 0]))
            value += 1
    data = exported((20, 17, 32), records, [np.ones(9 * 32 * 32 + 32)])
    assert understood(data) is not None
    assert peak(data) < 64 * len(data) + 2**20
    if kind == "same":
        assert peak(data) < 16 * len(data)


def test_predictor_filters_in_too_many_forms_are_not_transformed():
    """Transformed by itself each takes less than 64 times the file, all together more."""
    records, outputs = [conv(0, 4096, (2, 2), algorithm=2)], [1]
    for rows, columns in ((16, 0), (0, 16), (14, 0), (0, 14)):
        records.append(record("Crop", [0], [0, rows, 0, columns]))
        records.append(conv(len(records), 4096, (2, 2), algorithm=2, owner=1))
        outputs.append(len(records))
    parameters = np.arange(5 * 4096) % 7 - 3
    one = exported((19, 19, 1), records[:1], [parameters])
    assert peak(one) > 40 * len(one)
    data = exported((19, 19, 1), records, [parameters], outputs=outputs)
    assert peak(data) < 8 * len(data)
    Z = np.random.default_rng(0).integers(-3, 4, (1, 19, 19, 1)).astype(float)
    for found, expected in zip(Predictor(data)(Z), computed(data, Z), strict=True):
        assert np.array_equal(found, expected)


def test_resigned_good_file_is_unchanged():
    for data in (small(), small("float32"), *FREE.values()):
        assert resigned(data) == data and understood(data)
