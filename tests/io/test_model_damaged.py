"""Damaged, hostile and newer model files: a FormatError that says why, or the same model."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from matconv import Conv, Dense, Network
from matconv.io import FormatError, load_model, save_model

NET = Network((3, 3, 1), [Conv(1, 2), Dense(2)])
THETA = NET.init(0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.fixture
def good(path):
    """The bytes of a small model file with everything in it."""
    save_model(
        path,
        NET,
        THETA,
        labels=["no", "yes"],
        preprocessing={"shift": 1.5, "scale": 0.25},
        training={"f": 0.125},
        pixels={"dtype": "uint8", "min": 0, "max": 255},
    )
    return path.read_bytes()


def everything(model):
    """All of a model, to be compared."""
    return (
        model.network.description(),
        model.theta.dtype.str,
        model.theta.tobytes(),
        model.labels,
        model.preprocessing,
        model.training,
        model.pixels,
    )


def forge(path, theta=THETA, save=np.savez, resign=True, more=None, **changes):
    """A model file with another header (None takes an entry away), its checksum in order."""
    header = {
        "format": "matconv-model",
        "format_version": 2,
        "network": NET.description(),
        "labels": None,
        "preprocessing": None,
        "pixels": None,
        "training": None,
    }
    header.update(changes)
    header = {key: value for key, value in header.items() if value != "absent"}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    if resign:
        header["sha256"] = hashlib.sha256(np.asarray(theta).tobytes() + text).hexdigest()
        text = json.dumps(header).encode()
    save(path, theta=theta, header=np.frombuffer(text, np.uint8), **(more or {}))


def pixels(**changes):
    return {"dtype": "uint8", "min": 0, "max": 255, **changes}


def test_forged_file_without_a_fault_is_loaded(path):
    forge(path, labels=[1, 2])
    assert load_model(path).theta.tobytes() == THETA.tobytes()


# Damage


@pytest.mark.catalogue(50)
def test_load_model_every_truncation_refused(path, good):
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(FormatError, match="model.npz': "):
            load_model(path)


@pytest.mark.catalogue(50)
@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_load_model_every_flipped_byte_refused(path, good, mask):
    expected = everything(load_model(path))
    content = set()
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                start = good.index(member.read())
            content.update(range(start, start + info.file_size))
    assert len(content) > 600
    for i in range(len(good)):
        path.write_bytes(good[:i] + bytes([good[i] ^ mask]) + good[i + 1 :])
        try:
            model = load_model(path)
        except FormatError as error:
            assert "model.npz': " in str(error)
        else:
            # The zip's dates, attributes and the like, which nobody reads.
            assert i not in content and everything(model) == expected


@pytest.mark.catalogue(50)
def test_load_model_byte_removed_or_doubled_refused(path, good):
    for i in range(len(good)):
        for damaged in (good[:i] + good[i + 1 :], good[: i + 1] + good[i:]):
            path.write_bytes(damaged)
            with pytest.raises(FormatError, match="model.npz': "):
                load_model(path)


@pytest.mark.catalogue(50)
def test_content_changed_behind_a_correct_zip_checksum(path, good):
    with np.load(path) as arrays:
        theta, text = arrays["theta"], arrays["header"].tobytes()
    for k in range(len(theta)):
        changed = theta.copy()
        changed.view(np.uint64)[k] ^= 1
        np.savez(path, theta=changed, header=np.frombuffer(text, np.uint8))
        with pytest.raises(FormatError, match="damaged: the sha256 in 'header' is not that of"):
            load_model(path)
    for i in range(len(text)):
        changed = text[:i] + bytes([text[i] ^ 1]) + text[i + 1 :]
        np.savez(path, theta=theta, header=np.frombuffer(changed, np.uint8))
        with pytest.raises(FormatError, match="model.npz': "):
            load_model(path)
    np.savez(path, theta=theta, header=np.frombuffer(text, np.uint8))
    expected = everything(load_model(path))
    path.write_bytes(good)
    assert everything(load_model(path)) == expected


# Other files


@pytest.mark.catalogue(44)
def test_load_model_other_files_refused(path):
    path.write_bytes(b"\0\0\x08\1\0\0\0\1\7" * 9)
    with pytest.raises(FormatError, match="MATLAB file of MatConvNet or simpleNN, got an IDX file"):
        load_model(path)
    path.write_bytes(b"text")
    with pytest.raises(FormatError, match="expected a model: an .npz file .* or simpleNN$"):
        load_model(path)
    np.savez(path, Z=np.zeros((2, 3, 3)), y=[0, 1])
    with pytest.raises(FormatError, match="missing 'theta', 'header'; unexpected 'Z', 'y'"):
        load_model(path)


@pytest.mark.catalogue(45)
def test_pickled_header(path):
    np.savez(path, theta=THETA, header=np.array([{"format": "matconv-model"}], dtype=object))
    with pytest.raises(FormatError, match=r"'header': an array of Python objects \(pickle\)"):
        load_model(path)


@pytest.mark.catalogue(46)
def test_compressed_arrays_are_refused(path):
    forge(path, save=np.savez_compressed)
    with pytest.raises(
        FormatError, match="'theta' is compressed, expected stored; 'header' is compressed"
    ):
        load_model(path)


@pytest.mark.catalogue(48)
def test_load_model_names_all_wrong_arrays(path):
    forge(path, theta=THETA[:-1], more={"extra": 1, "W": np.zeros(3)})
    with pytest.raises(FormatError) as caught:
        load_model(path)
    assert str(caught.value).endswith(
        f"model.npz': unexpected 'extra', 'W'; 'theta' must be float64 ({NET.n},) for its "
        f"network, got float64 ({NET.n - 1},)"
    )
    np.savez(path, header=np.zeros((2, 2)), more=1)
    with pytest.raises(FormatError) as caught:
        load_model(path)
    assert str(caught.value).endswith(
        "model.npz': missing 'theta'; unexpected 'more'; 'header' must be uint8 of 1 dimension, "
        "got float64 (2, 2)"
    )


@pytest.mark.catalogue(48)
@pytest.mark.parametrize(
    ("theta", "message"),
    [
        (THETA.astype(np.float32), r"must be float64 .* got float32"),
        (THETA.astype(np.float16), "'theta' must be float64 or float32 .* got float16"),
        (THETA[None], r"'theta' must be float64 or float32 of 1 dimension, got float64 \(1, "),
        (np.append(THETA, 0), rf"'theta' must be float64 \({NET.n},\) .* \({NET.n + 1},\)"),
    ],
)
def test_misshapen_theta(path, theta, message):
    forge(path, theta)
    with pytest.raises(FormatError, match=message):
        load_model(path)


@pytest.mark.catalogue(49)
@pytest.mark.parametrize(
    "version, age", [(1, "older"), (3, "newer"), (4, "newer"), (10**30, "newer")]
)
def test_load_model_other_version_names_both(path, version, age):
    # Whatever else another version may have changed.
    forge(
        path,
        format_version=version,
        network="absent",
        resign=False,
        encoder={},
        more={"theta2": THETA},
    )
    with pytest.raises(FormatError, match=rf"format version {version} is {age} than 2, the only"):
        load_model(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "matconv-data"}, "not a model file: 'header' does not say format 'matconv-m"),
        ({"format": "absent"}, "not a model file"),
        ({"format_version": 0}, "format version 0 is not a version"),
        ({"format_version": True}, "format version True is not a version"),
        ({"format_version": "1"}, "format version 1 is not a version"),
        ({"format_version": "absent"}, "format version None is not a version"),
        (
            {"labels": "absent", "training": "absent", "author": 1},
            "'header': lacks 'labels', lacks 'training', has an unexpected 'author'",
        ),
        ({"resign": False}, "'header': lacks 'sha256'"),
        ({"labels": ["a"]}, "'header': labels: 1 labels, the network has 2 outputs"),
        ({"labels": {"a": 1}}, "'header': labels: expected a list or null"),
        ({"labels": [1.5, 2.5]}, "'header': labels: must be all str or all int"),
        ({"labels": [0, 2**64]}, "'header': labels: an integer beyond 64 bits"),
        ({"preprocessing": {}}, "'header': preprocessing: expected 'shift' and 'scale', got {}"),
        ({"preprocessing": {"shift": 0, "scale": float("nan")}}, "'scale' must be finite"),
        ({"preprocessing": {"shift": 0, "scale": 10**400}}, "'scale' must be finite, got 1000"),
        ({"preprocessing": {"shift": [0], "scale": 1}}, r"'shift' must be a number, got \[0\]"),
        (
            {"pixels": {"dtype": "uint8"}},
            "'header': pixels: expected 'dtype', 'min' and 'max', got",
        ),
        ({"pixels": [0, 1]}, "'header': pixels: expected 'dtype', 'min' and 'max'"),
        ({"pixels": pixels(dtype="complex64")}, "'dtype' must name a type of real numbers, got 'c"),
        ({"pixels": pixels(dtype=8)}, "'dtype' must name a type of real numbers, got 8"),
        ({"pixels": pixels(min=float("-inf"))}, "'min' must be finite, got -inf"),
        ({"pixels": pixels(max=10**400)}, "'max' must be finite, got 1000"),
        ({"pixels": pixels(max="1")}, "'max' must be a number, got '1'"),
        ({"pixels": pixels(min=256)}, "'min' 256 is over 'max' 255"),
        ({"training": [1]}, "'header': training: expected an object or null"),
    ],
)
def test_headers_that_are_signed_but_wrong(path, changes, message):
    forge(path, **changes)
    with pytest.raises(FormatError, match=message):
        load_model(path)


def test_integer_preprocessing_is_a_float(path):
    forge(path, preprocessing={"shift": 1, "scale": 2})
    model = load_model(path)
    assert [type(number) for number in model.preprocessing.values()] == [float, float]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "'header' is not JSON: Expecting value"),
        (b"{", "'header' is not JSON: Expecting property name"),
        (b"\xff\xfe{}", "'header' is not JSON: 'utf-8' codec"),
        (b"[" * 200_000, "'header' is not JSON: maximum recursion|'header' is not JSON: "),
        (b'{"format": ' + b"1" * 5000 + b"}", "'header' is not JSON: Exceeds the limit"),
        (b'{"a": 1, "a": 2}', "'header' is not JSON: the key 'a' comes twice"),
        (b"[]", "not a model file"),
        (b"null", "not a model file"),
        (b'"matconv-model"', "not a model file"),
    ],
)
def test_headers_that_are_not_json_objects(path, text, message):
    np.savez(path, theta=THETA, header=np.frombuffer(text, np.uint8))
    with pytest.raises(FormatError, match=f"model.npz': {message}") as caught:
        load_model(path)
    assert len(str(caught.value)) < 500


def test_giant_header(path):
    file = io.BytesIO()
    np.save(file, np.zeros(2**24 + 1, np.uint8))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", file.getvalue())
    with pytest.raises(FormatError, match="'header' has 16777217 bytes, at most 16777216"):
        load_model(path)


def layers(*entries, **changes):
    return {**NET.description(), "layers": list(entries), **changes}


@pytest.mark.parametrize(
    "network",
    [
        None,
        [],
        "Network",
        {},
        layers(),
        layers(None),
        layers([]),
        layers({"kind": "Magic"}),
        layers({"kind": ["Conv"]}),
        layers({"kind": "Dense"}),
        layers({"kind": "Dense", "units": "3"}),
        layers({"kind": "Dense", "units": None}),
        layers({"kind": "Dense", "units": 2.5}),
        layers({"kind": "Dense", "units": -3}),
        layers({"kind": "Dense", "units": 3, "activation": "magic"}),
        layers({"kind": "Dense", "units": 3, "activation": []}),
        layers({"kind": "Dense", "units": 3, "more": 1}),
        layers({"kind": "Dense", "units": 10**4000}),
        layers({"kind": "Dense", "units": 2**62}, {"kind": "Dense", "units": 2**62}),
        layers({"kind": "Conv", "channels": 1, "kernel": 10}),
        layers({"kind": "Conv", "channels": 1, "kernel": [1, 2, 3]}),
        layers({"kind": "Conv", "channels": 1, "kernel": {}}),
        layers({"kind": "Conv", "channels": 1, "kernel": 1, "pad": 10**40}),
        layers({"kind": "Conv", "channels": 1, "kernel": 1, "pad": [[1], 2]}),
        layers({"kind": "Conv", "channels": 1, "kernel": 1, "pad": "sane"}),
        layers({"kind": "Conv", "channels": 1, "kernel": 1, "stride": 0}),
        layers({"kind": "Conv", "channels": 1, "kernel": 1, "groups": 2}),
        layers({"kind": "MaxPool", "window": [[2, 2]]}),
        layers({"kind": "Dense", "units": 2}, input_shape=[3, 3]),
        layers({"kind": "Dense", "units": 2}, input_shape=[3, 3, 0]),
        layers({"kind": "Dense", "units": 2}, input_shape={"a": 1, "b": 2, "c": 3}),
        layers({"kind": "Dense", "units": 2}, input_shape=[2**40, 2**40, 2**40]),
        layers({"kind": "Dense", "units": 2}, input_shape=None),
        layers({"kind": "Dense", "units": 2}, dtype="float16"),
        layers({"kind": "Dense", "units": 2}, dtype={}),
    ],
)
def test_load_model_wrong_descriptions_refused(path, network):
    forge(path, network=network)
    with pytest.raises(FormatError, match="model.npz': .*(network|theta)") as caught:
        load_model(path)
    assert len(str(caught.value)) < 1000


def test_load_model_giant_network_allocates_nothing(path):
    forge(path, network=layers({"kind": "Dense", "units": 2**30}))
    with pytest.raises(FormatError, match=r"'theta' must be float64 \(10737418240,\) for its"):
        load_model(path)
