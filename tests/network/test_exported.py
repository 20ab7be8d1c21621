"""The file of an exported network: the documented format, and nothing else, opens."""

import hashlib
import struct

import numpy as np
import pytest
from support import exported_files, exported_reading, exported_values
from support.describing import encoded, freeze
from support.exported_files import (
    HEADER,
    MAGIC,
    RELU,
    SHAPE,
    conv,
    dense,
    exported,
    graph,
    network,
    normalizing,
    pool,
    small,
    word,
)
from support.exported_reading import step_at
from support.tolerances import assert_within, rounding_bound

from matconv import Conv, Dense, Network, load_predictor
from matconv.io import FormatError
from matconv.kernels.predictor import Predictor

DTYPES = ("float64", "float32")


# Values: the format is what is documented


@pytest.mark.parametrize("dtype", DTYPES)
def test_predictor_file_written_by_hand_gives_its_values(dtype):
    predictor = Predictor(small(dtype))
    assert predictor.input_shape == SHAPE
    assert predictor.output_shape == (3,)
    assert predictor.dtype == dtype
    Z = np.random.default_rng(0).integers(-9, 10, (7, *SHAPE))
    (expected,) = exported_values.computed(small(dtype), Z)
    assert np.count_nonzero(expected) > 15
    # halves and small integers: exact in both dtypes
    assert np.array_equal(predictor(Z.astype(dtype)), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_predictor_graph_written_by_hand_gives_its_values(dtype):
    """Every operation, shared parameters, two outputs."""
    data = graph(dtype)
    names = {step_at(data, at).name for at in places(data)}
    names |= {step_at(rounded, at).name for rounded in [normalizing()] for at in places(rounded)}
    assert names == set(exported_files.WORDS)
    predictor = Predictor(data)
    assert predictor.output_shape == ((3,), (4, 4, 6))
    Z = np.random.default_rng(1).integers(-9, 10, (7, *SHAPE))
    expected = exported_values.computed(data, Z)
    found = predictor(Z.astype(dtype))
    assert isinstance(found, tuple) and len(found) == 2
    for out, values in zip(found, expected, strict=True):
        assert np.count_nonzero(values) > 5
        assert np.array_equal(out, values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_predictor_operations_that_round_give_their_values(dtype):
    data = normalizing(dtype)
    predictor = Predictor(data)
    Z = np.random.default_rng(1).integers(-9, 10, (7, *SHAPE)) / 8
    (expected,) = exported_values.computed(data, Z)
    assert np.ptp(expected) > 1
    # the weights are small integers, and values are below 100
    assert_within(predictor(Z.astype(dtype)), expected, rounding_bound(2000, 100, dtype))


def places(data):
    """The first word of each record."""
    return [step.at for step in exported_reading.steps_of(data)[0]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_encoded_network_is_a_file_written_by_hand(dtype):
    net, theta = network(dtype)
    assert encoded(net, theta) == small(dtype)
    assert encoded(net, theta, images=64) == small(dtype, images=64)
    Z = np.random.default_rng(1).integers(-9, 10, (3, *SHAPE)).astype(dtype)
    assert np.array_equal(freeze(net, theta)(Z), net.forward(theta, Z))


def test_file_of_one_layer_byte_for_byte():
    """All of a file, so that the format cannot drift unnoticed."""
    header = MAGIC + struct.pack("<11q", 2, 232, 8, 1, 1, 1, 1, 1, 1, 2, 1)
    layer = struct.pack("<q16sqddqqqqqqq", 13, b"Dense", 0, 0.0, 0.0, 0, 1, 2, 0, 0, 1, 1)
    body = header + struct.pack("<q", 1) + layer + struct.pack("<2d", 3.0, -1.0)
    crc = 0xFFFFFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    file = body + struct.pack("<Q", crc ^ 0xFFFFFFFF)
    assert len(file) == 232
    digest = hashlib.sha256(file).hexdigest()
    assert digest == hashlib.sha256(exported((1, 1, 1), [dense(0, 1)], [3, -1])).hexdigest()
    Z = np.array([[[[2.0]]], [[[-4.0]]]])
    assert Predictor(file)(Z).tolist() == [[5], [-13]]
    net = Network((1, 1, 1), [Dense(1)])
    assert freeze(net, np.array([3.0, -1.0]))(Z).tolist() == [[5], [-13]]


def test_encoded_words_say_what_the_layers_say():
    """ "same" is worked out; a layer's own algorithm comes before the network's."""
    net = Network(
        (9, 8, 4),
        [
            Conv(6, (3, 2), (2, 1), "same", (1, 2), 2, None, "winograd"),
            Conv(2, 1, activation="relu"),
            Dense(5, "relu"),
        ],
        algorithm="im2col",
    )
    data = encoded(net, np.zeros(net.n), 9)
    relu = {"activation": (RELU, 0.0, 0.0)}
    expected = [
        conv(0, 6, (3, 2), (2, 1), (1, 1, 1, 1), (1, 2), 2, algorithm=2),
        conv(1, 2, (1, 1), algorithm=1, **relu),
        dense(2, 5, **relu),
    ]
    for at, record in zip(places(data), expected, strict=True):
        assert tuple(word(data, at + k) for k in range(len(record))) == record
    header = [word(data, k) for k in range(1, HEADER + 1)]
    assert header == [2, len(data), 8, 3, 9, 9, 8, 4, 1, net.n, 1, 3]


def test_predictor_4096_steps():
    pools = [pool("AvgPool", k, (1, 1)) for k in range(4096)]
    assert Predictor(exported((1, 1, 1), pools, []))(np.ones((1, 1, 1, 1))).tolist() == [[[[1.0]]]]
    pools.append(pool("MaxPool", 4096, (1, 1)))
    with pytest.raises(ValueError, match="not an exported network, or a damaged one"):
        Predictor(exported((1, 1, 1), pools, []))


def test_predictor_without_parameters_in_the_file_is_refused():
    """A description alone is no exported network; not even where nothing has parameters."""
    data = exported_files.with_word(exported((1, 1, 1), [pool("MaxPool", 0, (1, 1))], []), 11, 0)
    with pytest.raises(ValueError, match="not an exported network, or a damaged one"):
        Predictor(data)


@pytest.mark.parametrize("value", [None, 5, "text", [1, 2], np.ones(3)[::2]])
def test_not_bytes(value):
    with pytest.raises(TypeError, match="Predictor: data must be bytes, got"):
        Predictor(value)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, np.array])
def test_bytes_like(kind):
    data = np.frombuffer(small(), np.uint8) if kind is np.array else kind(small())
    assert Predictor(data).input_shape == SHAPE


def test_bytes_that_begin_anywhere():
    """Numbers need not be aligned; the bytes may go, or change, afterwards."""
    Z = np.random.default_rng(2).integers(-9, 10, (2, *SHAPE)).astype(float)
    expected = Predictor(small())(Z)
    for shift in range(1, 9):
        block = bytearray(bytes(shift) + small())
        predictor = Predictor(memoryview(block)[shift:])
        block[:] = b"\xa5" * len(block)
        assert np.array_equal(predictor(Z), expected)


# Files


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.matconv"


def version_problem(version):
    return f"an exported network of version {version} of the format; this matconv reads version 2"


@pytest.mark.catalogue(44, 49, 50)
def test_load_predictor_format_error_names_the_file(path):
    for data, problem in (
        (small()[:-1], "not an exported network, or a damaged one"),
        (b"PK\3\4" + bytes(200), "not an exported network, or a damaged one"),
        (small(version=1), version_problem(1)),
        (small(version=3), version_problem(3)),
    ):
        path.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            load_predictor(path)
        assert str(caught.value) == f"{str(path)!r}: {problem}"
