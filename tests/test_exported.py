"""The file of an exported network: the documented format, and nothing else, opens."""

import hashlib
import os
import struct

import exported_files
import numpy as np
import pytest
from exported_files import (
    CONV,
    DENSE,
    HEADER,
    LAYER,
    MAGIC,
    SHAPE,
    exported,
    record,
    small,
    word,
)
from faults import FaultyOs
from networks import mixed

from matconv import AvgPool, Conv, Dense, MaxPool, Network, load_predictor
from matconv.files import atomic
from matconv.io import FormatError
from matconv.kernels.predictor import Predictor

DTYPES = ("float64", "float32")


def network(dtype):
    """The network of `exported_files.small`, and its theta."""
    net = Network(
        SHAPE,
        [
            Conv(2, (2, 3), pad=((1, 0), (0, 1)), groups=2, algorithm="im2col"),
            MaxPool(2, stride=(2, 1)),
            AvgPool((2, 1), stride=(2, 1), pad=((0, 1), (0, 0))),
            Dense(3),
        ],
        dtype,
    )
    W, b, dense, c = (array.astype(dtype) for array in exported_files.arrays())
    return net, net.pack([(W, b), (dense, c)])


# Values: the format is what is documented


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_file_written_by_hand_predicts_what_it_says(dtype):
    predictor = Predictor(small(dtype))
    assert predictor.input_shape == SHAPE
    assert predictor.output_shape == (3,)
    assert predictor.dtype == dtype
    Z = np.random.default_rng(0).integers(-9, 10, (7, *SHAPE))
    expected = np.array([exported_files.computed(image) for image in Z])
    assert np.count_nonzero(expected) > 15
    # halves and small integers: exact in both dtypes
    assert np.array_equal(predictor(Z.astype(dtype)), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_export_writes_is_a_file_written_by_hand(dtype, tmp_path):
    net, theta = network(dtype)
    path = tmp_path / "small.matconv"
    net.export(theta, path)
    assert path.read_bytes() == small(dtype)
    net.export(theta, path, images=64)
    assert path.read_bytes() == small(dtype, images=64)
    Z = np.random.default_rng(1).integers(-9, 10, (3, *SHAPE)).astype(dtype)
    assert np.array_equal(load_predictor(path)(Z), net.forward(theta, Z))


def test_the_bytes_of_a_network_of_one_layer():
    """All of a file, byte for byte, so that the format cannot drift unnoticed."""
    header = MAGIC + struct.pack("<9q", 1, 232, 8, 1, 1, 1, 1, 1, 0)
    layer = struct.pack("<16q", 2, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0)
    body = header + layer + struct.pack("<2d", 3.0, -1.0)
    crc = 0xFFFFFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    file = body + struct.pack("<Q", crc ^ 0xFFFFFFFF)
    assert len(file) == 232
    digest = hashlib.sha256(file).hexdigest()
    assert digest == hashlib.sha256(exported((1, 1, 1), [record(DENSE, 1)], [3, -1])).hexdigest()
    Z = np.array([[[[2.0]]], [[[-4.0]]]])
    assert Predictor(file)(Z).tolist() == [[5], [-13]]
    net = Network((1, 1, 1), [Dense(1)])
    assert net.freeze(np.array([3.0, -1.0]))(Z).tolist() == [[5], [-13]]


def test_kept_values_of_words():
    """A record says what the layer says; "same" is worked out, the network's algorithm is told."""
    net = Network(
        (9, 8, 4),
        [
            Conv(6, (3, 2), (2, 1), "same", (1, 2), 2, None, "winograd"),
            Conv(2, 1),
            Dense(5, "relu"),
        ],
        algorithm="im2col",
    )
    data = net._encoded(np.zeros(net.n), 9)
    rows = [[word(data, HEADER + LAYER * k + i) for i in range(LAYER)] for k in range(3)]
    assert rows[0] == [1, 0, 2, 6, 2, 3, 2, 2, 1, 1, 1, 1, 1, 1, 2, 0]
    assert rows[1] == list(record(CONV, 2, relu=1, algorithm=1))
    assert rows[2] == list(record(DENSE, 5, relu=1))
    assert [word(data, k) for k in range(1, HEADER)] == [1, len(data), 8, 3, 9, 9, 8, 4, 0]


@pytest.mark.parametrize("images", [0, -1, 65537, 2**64])
def test_images_out_of_range(images):
    net, theta = network("float64")
    match = "Network: images" if images == 2**64 else "Network: images must be from 1 to 65536, got"
    with pytest.raises((ValueError, OverflowError), match=match):
        net.freeze(theta, images)


@pytest.mark.parametrize("images", [1.5, "1", None, True])
def test_images_of_another_type(images):
    net, theta = network("float64")
    with pytest.raises(TypeError, match="Network: images must be an integer, got"):
        net.freeze(theta, images)


def test_too_many_layers(tmp_path):
    layers = [AvgPool(1)] * 4096
    assert Network((1, 1, 1), layers).freeze(np.zeros(0))(np.ones((1, 1, 1, 1))).tolist()
    with pytest.raises(ValueError, match="a file holds at most 4096 layers, got 4097"):
        Network((1, 1, 1), [*layers, MaxPool(1)]).export(np.zeros(0), tmp_path / "n")
    assert not list(tmp_path.iterdir())


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


@pytest.mark.catalogue(44, 49, 50)
def test_a_format_error_names_the_file(path):
    for data, problem in (
        (small()[:-1], "not an exported network, or a damaged one"),
        (b"PK\3\4" + bytes(200), "not an exported network, or a damaged one"),
        (small(version=2), "an exported network of a newer version of the format"),
    ):
        path.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            load_predictor(path)
        assert str(caught.value) == f"{str(path)!r}: {problem}"


@pytest.mark.parametrize("kind", [str, os.fsencode, lambda path: path])
def test_kinds_of_paths(tmp_path, kind):
    net, theta = network("float32")
    path = kind(tmp_path / "nét")
    net.export(theta, path)
    assert load_predictor(path).dtype == np.float32
    assert os.listdir(tmp_path) == ["nét"]


@pytest.mark.catalogue(52)
def test_export_writes_all_or_nothing(path, monkeypatch):
    """A disk that is full at any step: OSError, the old file intact, no other left."""
    net = mixed()
    theta = net.init(0)
    recorder = FaultyOs()
    monkeypatch.setattr(atomic, "os", recorder)
    net.export(theta, path)
    new = path.read_bytes()
    assert recorder.trace.count("replace") == 1 and "fsync" in recorder.trace

    def full(name, real, arguments):
        raise OSError(28, "No space left on device")

    before_replace = recorder.trace.index("replace")
    for at in range(before_replace + 1):
        path.write_bytes(b"old")
        monkeypatch.setattr(atomic, "os", FaultyOs(at, full))
        with pytest.raises(OSError, match="No space left"):
            net.export(theta, path)
        assert path.read_bytes() == b"old"
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    monkeypatch.setattr(atomic, "os", os)
    net.export(theta, path)
    assert path.read_bytes() == new


@pytest.mark.catalogue(52)
def test_export_where_nothing_can_be_written(tmp_path):
    net, theta = network("float64")
    for bad, error in (
        (tmp_path, IsADirectoryError),
        (tmp_path / "missing" / "net", FileNotFoundError),
    ):
        with pytest.raises(error):
            net.export(theta, bad)
    for bad in (None, 5, 1.5):
        with pytest.raises(TypeError):
            net.export(theta, bad)
    assert not list(tmp_path.iterdir())


def test_export_checks_theta_before_the_file_is_touched(path):
    net, theta = network("float64")
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=f"theta must have {net.n} numbers"):
        net.export(theta[:-1], path)
    with pytest.raises(TypeError, match="theta is float32, the network computes in float64"):
        net.export(theta.astype(np.float32), path)
    with pytest.raises(ValueError, match="images must be from 1 to 65536, got 0"):
        net.export(theta, path, images=0)
    assert path.read_bytes() == b"old" and len(list(path.parent.iterdir())) == 1
