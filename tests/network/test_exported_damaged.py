"""Damaged files of exported networks, and files of other versions, are refused."""

import numpy as np
import pytest
from support.exported_checks import DAMAGED, OTHER, refused, theta_offset
from support.exported_files import (
    MAGIC,
    graph,
    normalizing,
    resigned,
    small,
    with_word,
    word,
    words,
)

DTYPES = ("float64", "float32")
FILES = {"small": small, "graph": graph, "normalizing": normalizing}


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
    numbers = range(theta_offset(good), len(good) - 8)
    for i in range(len(good)):
        masks = (1, 128, 255) if i in numbers or name != "small" else range(1, 256)
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
