"""Memory that opening an exported network takes, against the size of its file."""

import itertools
import tracemalloc

import numpy as np
import pytest
from support.exported_checks import HARD_VALUES, theta_offset
from support.exported_files import conv, dense, exported, record, small, with_word
from support.exported_reading import understood
from support.exported_values import computed

from matconv.kernels.predictor import Predictor

DTYPES = ("float64", "float32")


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
    for k, value in itertools.product(range(3, theta_offset(good) // 8), HARD_VALUES):
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
