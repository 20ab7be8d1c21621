"""Arrays from .npz files; hostile files are in test_npz_hostile.py."""

import io
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from matconv.io import FormatError, read_images_npz, read_npz

TYPES = [
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "arrays.npz"


# Content


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("dtype", TYPES)
def test_read_npz_every_type_and_layout_equals_numpy(path, save, order, byte_order, dtype):
    rng = np.random.default_rng(5)
    array = rng.integers(0, 100, (3, 4, 5)).astype(np.dtype(dtype).newbyteorder(byte_order))
    save(path, A=np.asarray(array, order=order))
    result = read_npz(path, ["A"])["A"]
    with np.load(path) as theirs:
        np.testing.assert_array_equal(result, theirs["A"].astype(dtype), strict=True)
    assert result.dtype == np.dtype(dtype) and result.dtype.isnative
    assert result.flags.c_contiguous and result.flags.writeable and result.flags.aligned


@settings(deadline=None)
@given(
    array=hnp.arrays(
        st.sampled_from(["<f8", ">i4", "|u1", "?"]),
        hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    ),
    compressed=st.booleans(),
)
def test_read_npz_any_shape_and_value(tmp_path_factory, array, compressed):
    path = tmp_path_factory.mktemp("npz") / "any.npz"
    (np.savez_compressed if compressed else np.savez)(path, A=array)
    result = read_npz(path, ["A"])["A"]
    assert result.shape == array.shape
    assert result.tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()


def test_read_npz_arrays_larger_than_a_chunk(path):
    rng = np.random.default_rng(6)
    arrays = {"big": rng.standard_normal((3, 2**17)), "none": np.zeros((0, 3)), "x": np.arange(3)}
    np.savez_compressed(path, **arrays)
    result = read_npz(path, list(arrays))
    assert list(result) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(result[name], array, strict=True)


def test_header_version_2_and_a_stream_without_sizes(path):
    class Pipe(io.BytesIO):
        """Cannot be sought in, so that zipfile puts the sizes behind the data."""

        def seekable(self):
            return False

        def seek(self, *args):
            raise io.UnsupportedOperation("seek")

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive, archive.open("A.npy", "w") as member:
        np.lib.format.write_array(member, np.arange(6.0).reshape(2, 3), version=(2, 0))
    path.write_bytes(pipe.getvalue())
    np.testing.assert_array_equal(read_npz(path, ["A"])["A"], [[0, 1, 2], [3, 4, 5]])


def test_read_npz_zip64(path, monkeypatch):
    # As zipfile writes an archive of over 2 GiB.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    np.savez(path, A=np.arange(5))
    monkeypatch.undo()
    assert b"PK\6\6" in path.read_bytes()
    assert read_npz(path, ["A"])["A"].tolist() == [0, 1, 2, 3, 4]


# Images


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_read_images_npz_adds_a_channel_axis(path, save):
    Z = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    save(path, Z=Z, y=np.array([3, 1], np.uint8))
    images, labels = read_images_npz(path)
    np.testing.assert_array_equal(images, Z[..., None], strict=True)
    assert labels.dtype == np.int64 and labels.tolist() == [3, 1]


def test_images_with_channels_in_fortran_order(path):
    Z = np.asfortranarray(np.arange(48, dtype=np.float32).reshape(2, 4, 3, 2))
    np.savez(path, Z=Z, y=np.array([-1, 2**40]))
    images, labels = read_images_npz(path)
    np.testing.assert_array_equal(images, Z, strict=True)
    assert images.flags.c_contiguous and labels.tolist() == [-1, 2**40]


def test_read_images_npz_no_images(path):
    np.savez(path, Z=np.zeros((0, 8, 8)), y=np.zeros(0, int))
    images, labels = read_images_npz(path)
    assert images.shape == (0, 8, 8, 1) and labels.shape == (0,)


@pytest.mark.catalogue(48)
@pytest.mark.parametrize(
    ("arrays", "messages"),
    [
        ({"Z": np.zeros((2, 3))}, ["missing 'y'", r"'Z' must be real, of shape .* \(2, 3\)"]),
        (
            {"Z": np.zeros((2, 3, 3), complex), "y": np.zeros((2, 1)), "x": 1, "w": 2},
            ["unexpected 'x', 'w'", "got complex128", r"'y' must be .* float64 \(2, 1\)"],
        ),
        ({"images": np.zeros(3)}, ["missing 'Z', 'y'", "unexpected 'images'"]),
        ({"Z": np.zeros((2, 3, 3)), "y": np.zeros(2)}, [r"'y' must be integers .* float64 \(2,\)"]),
        ({"Z": np.zeros((2, 3, 3)), "y": [1, 2, 3]}, ["2 images in 'Z', but 3 labels in 'y'"]),
        (
            {"Z": np.zeros((1, 3, 3)), "y": np.array([2**63], np.uint64)},
            ["the label 9223372036854775808 is over the largest int64"],
        ),
    ],
)
def test_read_images_npz_names_all_problems_at_once(path, arrays, messages):
    np.savez(path, **arrays)
    for message in messages:
        with pytest.raises(FormatError, match=rf"arrays.npz': .*{message}"):
            read_images_npz(path)


@pytest.mark.catalogue(48)
def test_missing_and_unexpected_arrays(path):
    np.savez(path, a=1, b=2, c=3)
    with pytest.raises(FormatError, match="arrays.npz': missing 'x', 'y'; unexpected 'a', 'c'$"):
        read_npz(path, ["x", "b", "y"])


# What the system says


@pytest.mark.catalogue(43)
def test_read_npz_closes_its_descriptors(tmp_path, path):
    good = tmp_path / "good.npz"
    np.savez(good, A=1)
    path.write_bytes(good.read_bytes()[:-1])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        read_npz(good, ["A"])
        with pytest.raises(FormatError):
            read_npz(path, ["A"])
        with pytest.raises(IsADirectoryError):
            read_npz(tmp_path, ["A"])
    assert len(os.listdir("/proc/self/fd")) == before
