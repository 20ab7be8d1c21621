"""Model files: the loaded content, and arguments that saving refuses."""

import hashlib
import json
import zipfile

import numpy as np
import pytest

from matconv import AvgPool, Conv, Dense, MaxPool, Network
from matconv.io import Model, load_model, save_model


def network(dtype=np.float64):
    return Network(
        (4, 5, 2),
        [Conv(3, (2, 3), pad=((1, 0), (0, 1)), activation="relu"), MaxPool(2), Dense(3)],
        dtype,
    )


def saved(path, net, theta, **options):
    save_model(path, net, theta, **options)
    return load_model(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


# Content


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_load_model_returns_what_was_saved(path, dtype):
    net = network(dtype)
    theta = net.init(3)
    training = {
        "C": float("inf"),
        "history": [{"f": 0.1, "step": 1}, {}],
        "note": "größe",
        "x": None,
    }
    model = saved(
        path,
        net,
        theta,
        labels=["cat", "dog", "größe"],
        preprocessing={"shift": 3, "scale": 1 / 7},
        training=training,
        pixels={"dtype": "int16", "min": np.int16(-3), "max": 7.5},
    )
    assert isinstance(model.network, Network)
    assert model.network.description() == net.description()
    assert model.theta.dtype == dtype and model.theta.tobytes() == theta.tobytes()
    assert not model.theta.flags.writeable and model.theta.flags.c_contiguous
    assert model.labels == ("cat", "dog", "größe")
    assert model.preprocessing == {"shift": 3.0, "scale": 1 / 7}
    assert model.training == training
    assert model.pixels == {"dtype": "int16", "min": -3.0, "max": 7.5}
    Z = np.random.default_rng(0).standard_normal((6, 4, 5, 2)).astype(dtype)
    assert model.network.forward(model.theta, Z).tobytes() == net.forward(theta, Z).tobytes()


def test_load_model_missing_entries_are_none(path):
    net = network()
    model = saved(path, net, net.init(0))
    assert (model.labels, model.preprocessing, model.training) == (None, None, None)
    assert model.pixels is None


def test_model_attributes_cannot_be_assigned(path):
    net = network()
    model = saved(path, net, net.init(0))
    assert isinstance(model, Model)
    with pytest.raises(AttributeError, match="cannot assign to field 'theta'"):
        model.theta = None


def test_theta_keeps_every_bit(path):
    net = network()
    theta = net.init(0)
    theta[:7] = [np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324, 1.7e308]
    theta[7:8] = np.array([0x7FF0_0000_DEAD_BEEF], np.uint64).view(np.float64)
    assert saved(path, net, theta).theta.tobytes() == theta.tobytes()


def test_save_model_theta_of_any_layout(path):
    net = network()
    theta = net.init(0)
    wide = np.repeat(theta, 2)[::2]
    readonly = theta.copy()
    readonly.flags.writeable = False
    for same in (wide, theta[::-1].copy()[::-1], readonly, theta.astype(">f8"), list(theta)):
        assert saved(path, net, same).theta.tobytes() == theta.tobytes()
        assert saved(path, net, same).theta.dtype.isnative


def test_network_without_parameters(path):
    net = Network((4, 4, 1), [AvgPool(2)])
    model = saved(path, net, net.init(0), labels=list("abcd"))
    assert model.theta.shape == (0,) and model.network.n == 0
    assert model.predict(np.diag([0, 0, 0, 9]).reshape(1, 4, 4, 1)).tolist() == ["d"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array(["a", "b", "c"]), ("a", "b", "c")),
        (np.arange(3, dtype=np.uint8), (0, 1, 2)),
        ((-(2**63), 0, 2**63 - 1), (-(2**63), 0, 2**63 - 1)),
        (["x", "x", ""], ("x", "x", "")),
        (["\ud800", "\0", '"'], ("\ud800", "\0", '"')),
    ],
)
def test_labels_are_kept(path, labels, expected):
    net = network()
    assert saved(path, net, net.init(0), labels=labels).labels == expected


def test_numpy_numbers_in_training(path):
    net = network()
    training = {"a": np.float32(0.5), "b": np.int64(3), "c": np.arange(3), "d": (1, np.True_)}
    model = saved(path, net, net.init(0), training=training)
    assert model.training == {"a": 0.5, "b": 3, "c": [0, 1, 2], "d": [1, True]}
    assert saved(path, net, net.init(0), training={"f": np.nan}).training["f"] != 0.0


def test_equal_input_gives_equal_bytes(path, monkeypatch):
    net = network()
    theta = net.init(0)
    save_model(path, net, theta, training={"a": 1, "b": 2}, preprocessing={"shift": 1, "scale": 2})
    first = path.read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    save_model(path, net, theta, training={"b": 2, "a": 1}, preprocessing={"scale": 2, "shift": 1})
    assert path.read_bytes() == first


def test_model_file_has_the_documented_format(path):
    net = network()
    theta = net.init(0)
    save_model(path, net, theta, labels=[5, 6, 7], training={"note": "größe"})
    # With nothing but numpy and the standard library.
    with np.load(path, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["header", "theta"]
        np.testing.assert_array_equal(arrays["theta"], theta, strict=True)
        assert arrays["header"].dtype == np.uint8
        header = json.loads(arrays["header"].tobytes().decode("utf-8"))
    digest = header.pop("sha256")
    assert header == {
        "format": "matconv-model",
        "format_version": 2,
        "network": net.description(),
        "labels": [5, 6, 7],
        "preprocessing": None,
        "pixels": None,
        "training": {"note": "größe"},
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    assert digest == hashlib.sha256(theta.astype("<f8").tobytes() + text).hexdigest()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


# Using a model


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_model_prepare_scales(path, dtype):
    net = network(dtype)
    model = saved(path, net, net.init(0), preprocessing={"shift": 16, "scale": 0.125})
    pixels = np.arange(80, dtype=np.uint8).reshape(2, 4, 5, 2)
    Z = model.prepare(pixels)
    np.testing.assert_array_equal(Z, ((pixels - 16.0) * 0.125).astype(dtype), strict=True)
    assert Z.flags.c_contiguous and pixels[0, 0, 0, 1] == 1
    for same in (pixels.tolist(), np.asfortranarray(pixels), pixels.astype(">i8"), pixels[::1]):
        np.testing.assert_array_equal(model.prepare(same), Z, strict=True)
        assert model.prepare(same).flags.c_contiguous
    assert model.prepare(pixels[:0]).shape == (0, 4, 5, 2)


def test_prepare_without_preprocessing_copies(path):
    net = network()
    model = saved(path, net, net.init(0))
    pixels = np.ones((1, 4, 5, 2))
    Z = model.prepare(pixels)
    np.testing.assert_array_equal(Z, pixels)
    assert not np.shares_memory(Z, pixels)


def test_prepare_refuses(path):
    net = network()
    model = saved(path, net, net.init(0))
    for shape in ((4, 5, 2), (1, 5, 4, 2), (1, 4, 5, 1), (1, 1, 4, 5, 2), ()):
        with pytest.raises(ValueError, match=r"the shape \('l', 4, 5, 2\), got \(") as caught:
            model.prepare(np.zeros(shape))
        assert str(shape) in str(caught.value)
    for dtype in (complex, object, "U3", "M8[s]"):
        with pytest.raises(TypeError, match="Model.prepare: pixels must be real numbers, got "):
            model.prepare(np.zeros((1, 4, 5, 2)).astype(dtype))


@pytest.mark.parametrize("labels", [["a", "b", "c"], [30, -10, 20], None])
def test_model_predict_returns_labels(path, labels):
    net = network()
    model = saved(
        path, net, net.init(1), labels=labels, preprocessing={"shift": 100, "scale": 0.01}
    )
    pixels = np.random.default_rng(1).integers(0, 256, (40, 4, 5, 2)).astype(np.uint8)
    index = net.predict(net.init(1), (pixels - 100.0) * 0.01)
    assert len(set(index.tolist())) > 1
    expected = index.tolist() if labels is None else [labels[k] for k in index]
    assert model.predict(pixels).tolist() == expected


# What saving refuses, before it touches a file


@pytest.mark.catalogue(28)
@pytest.mark.parametrize("change", [-1, 1])
def test_theta_too_long_or_short(path, change):
    net = network()
    with pytest.raises(ValueError, match=rf"the shape \({net.n},\) .* got \({net.n + change},\)"):
        save_model(path, net, np.zeros(net.n + change))
    with pytest.raises(ValueError, match=rf"got \({net.n}, 1\)"):
        save_model(path, net, np.zeros((net.n, 1)))
    assert not path.exists()


@pytest.mark.catalogue(29)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, complex, object, np.longdouble])
def test_theta_of_another_type(path, dtype):
    net = network()
    with pytest.raises(
        TypeError, match=f"save_model: theta must be float64, got {np.dtype(dtype)}"
    ):
        save_model(path, net, np.zeros(net.n, dtype))
    with pytest.raises(TypeError, match="theta must be float32, got float64"):
        save_model(path, network(np.float32), np.zeros(net.n))
    with pytest.raises(TypeError, match="save_model: theta is a masked array; fill it or drop the"):
        save_model(path, net, np.ma.zeros(net.n))
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"labels": ["a", "b"]}, ValueError, "labels: 2 labels, the network has 3 outputs"),
        ({"labels": []}, ValueError, "labels: must be all str or all int"),
        ({"labels": ["a", "b", 3]}, ValueError, "labels: must be all str or all int"),
        ({"labels": [True, False, True]}, ValueError, "labels: must be all str or all int"),
        ({"labels": [0.0, 1.0, 2.0]}, ValueError, "labels: must be all str or all int"),
        ({"labels": [0, 1, 2**63]}, ValueError, "labels: an integer beyond 64 bits"),
        ({"labels": [b"a", b"b", b"c"]}, TypeError, r"labels\[0\] is a bytes"),
        ({"preprocessing": {"shift": 0}}, ValueError, "expected 'shift' and 'scale', got"),
        ({"preprocessing": [0, 1]}, ValueError, r"expected 'shift' and 'scale', got \[0, 1\]"),
        ({"preprocessing": {"shift": 0, "scale": np.nan}}, ValueError, "'scale' must be finite"),
        ({"preprocessing": {"shift": 10**400, "scale": 1}}, ValueError, "'shift' must be finite"),
        ({"preprocessing": {"shift": "0", "scale": 1}}, ValueError, "'shift' must be a number"),
        ({"preprocessing": {"shift": True, "scale": 1}}, ValueError, "'shift' must be a number"),
        ({"training": [1]}, TypeError, "training must be a dict, got list"),
        ({"pixels": {"min": 0}}, ValueError, "pixels: expected 'dtype', 'min' and 'max', got"),
        ({"pixels": {"dtype": "uint8", "min": 1, "max": 0}}, ValueError, "'min' 1 is over 'max' 0"),
        ({"pixels": {"dtype": "uint8", "min": 1j, "max": 0}}, TypeError, "pixels.* is a complex"),
        (
            {"labels": ["x" * 2**22] * 3},
            ValueError,
            "the network and its labels take 12583.* bytes of the header, the limit is 8388608",
        ),
    ],
)
def test_save_model_wrong_arguments_refused(path, options, error, message):
    net = network()
    with pytest.raises(error, match=f"^save_model: .*{message}"):
        save_model(path, net, net.init(0), **options)
    assert not path.exists()


def test_save_model_theta_changes_meanwhile(path, monkeypatch):
    net = network()
    theta = net.init(0)
    original = theta.copy()
    digest = hashlib.sha256

    def change_and_digest(data):
        theta[:] = -1
        return digest(data)

    monkeypatch.setattr("matconv.io.header.hashlib.sha256", change_and_digest)
    save_model(path, net, theta)
    monkeypatch.undo()
    assert load_model(path).theta.tobytes() == original.tobytes()
