"""Network.freeze and Network.export: what they check, and files that are written whole or not at all."""

import os

import numpy as np
import pytest
from support.exported_files import network
from support.faults import FaultyOs
from support.networks import mixed
from support.tolerances import assert_same_bytes

from matconv import AvgPool, MaxPool, Network, load_predictor
from matconv.files import atomic


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
    with pytest.raises(ValueError, match="a network has at most 4096 layers, got 4097"):
        Network((1, 1, 1), [*layers, MaxPool(1)]).export(np.zeros(0), tmp_path / "n")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.matconv"


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
    with pytest.raises(ValueError, match=f"theta must have {net.n} elements"):
        net.export(theta[:-1], path)
    with pytest.raises(TypeError, match="theta is float32, the network computes in float64"):
        net.export(theta.astype(np.float32), path)
    with pytest.raises(ValueError, match="images must be from 1 to 65536, got 0"):
        net.export(theta, path, images=0)
    assert path.read_bytes() == b"old" and len(list(path.parent.iterdir())) == 1


def test_freezing_checks_theta():
    net = mixed()
    theta = net.init(0)
    for bad, error, message in (
        (theta[:-1], ValueError, f"theta must have {net.n} elements, one for each parameter, got"),
        (
            np.append(theta, 0),
            ValueError,
            f"theta must have {net.n} elements, one for each parameter",
        ),
        (theta[None], ValueError, f"theta must be a vector, got shape (1, {net.n})"),
        (theta.astype("float32"), TypeError, "theta is float32, the network computes in float64"),
        (None, TypeError, "theta must be an array of float64 or float32, got None"),
    ):
        with pytest.raises(error) as caught:
            net.freeze(bad)
        assert f"Network: {message}" in str(caught.value)
    swapped, gaps = theta.astype(">f8"), np.repeat(theta, 2)[::2]
    Z = np.ones((1, *net.input_shape))
    for same in (swapped, gaps):
        assert_same_bytes(net.freeze(same)(Z), net.freeze(theta)(Z))
