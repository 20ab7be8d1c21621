"""IDX files: their content, and errors for damaged and hostile files."""

import gzip
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matconv.io import FormatError, read_idx, read_idx_images
from matconv.io.kinds import file_kind

TYPES = {0x08: "B", 0x09: "b", 0x0B: "h", 0x0C: "i", 0x0D: "f", 0x0E: "d"}
DTYPES = {"B": "uint8", "b": "int8", "h": "int16", "i": "int32", "f": "float32", "d": "float64"}


def idx_bytes(shape, numbers, code=0x08):
    """An IDX file made by struct alone."""
    head = struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)
    return head + struct.pack(f">{len(numbers)}{TYPES[code]}", *numbers)


@pytest.fixture
def write(tmp_path):
    """Write bytes to a file and give its path."""

    def write(content, name="file-idx3-ubyte"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


# Content


@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_read_idx_every_type_in_native_order(write, code, compress):
    dtype = np.dtype(DTYPES[TYPES[code]])
    if dtype.kind == "f":
        numbers = [0.0, -1.5, 3e38, float("inf"), 2.0**-140, 7.0]
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        numbers = [low, high, 0, 1, high - 1, low + 1]
    array = read_idx(write(compress(idx_bytes((3, 1, 2), numbers, code))))
    assert array.dtype == dtype and array.dtype.isnative
    assert array.shape == (3, 1, 2) and array.flags.c_contiguous and array.flags.writeable
    if code == 0x0D:
        numbers = [struct.unpack("f", struct.pack("f", number))[0] for number in numbers]
    assert array.ravel().tolist() == numbers


@given(
    code=st.sampled_from([0x08, 0x09, 0x0B, 0x0C]),
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    data=st.data(),
    compressed=st.booleans(),
)
def test_read_idx_any_shape(tmp_path_factory, code, shape, data, compressed):
    dtype = np.dtype(DTYPES[TYPES[code]])
    count = int(np.prod(shape))
    limits = np.iinfo(dtype)
    numbers = data.draw(
        st.lists(st.integers(int(limits.min), int(limits.max)), min_size=count, max_size=count)
    )
    content = idx_bytes(shape, numbers, code)
    path = tmp_path_factory.mktemp("idx") / "any"
    path.write_bytes(gzip.compress(content) if compressed else content)
    array = read_idx(path)
    assert array.shape == tuple(shape)
    assert array.ravel().tolist() == numbers


def test_read_idx_recognises_gzip_by_content(write):
    content = idx_bytes((2,), [3, 4])
    assert read_idx(write(content, "labels.gz")).tolist() == [3, 4]
    assert read_idx(write(gzip.compress(content), "labels")).tolist() == [3, 4]


def test_gzip_of_several_members(write):
    content = idx_bytes((5,), [1, 2, 3, 4, 5])
    path = write(gzip.compress(content[:7]) + gzip.compress(content[7:]))
    assert read_idx(path).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", [str, os.fsencode, lambda path: path])
def test_paths_of_any_kind(tmp_path, kind):
    path = tmp_path / "größe-字"
    path.write_bytes(idx_bytes((1,), [9]))
    assert read_idx(kind(path)).tolist() == [9]


def test_images_and_labels(write):
    pixels = list(range(12))
    images = write(idx_bytes((2, 3, 2), pixels), "images")
    labels = write(gzip.compress(idx_bytes((2,), [7, 0])), "labels")
    Z, y = read_idx_images(images, labels)
    assert Z.shape == (2, 3, 2, 1) and Z.dtype == np.uint8 and Z.flags.c_contiguous
    assert Z[1, 2, 0, 0] == 10
    assert y.dtype == np.int64 and y.tolist() == [7, 0]


# Errors


def test_read_errors_name_the_path(write, monkeypatch):
    path = write(idx_bytes((1,), [1]))

    def broken(stream, array):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("matconv.io.idx.fill", broken)
    with pytest.raises(OSError, match="Input/output error: '.*file-idx3-ubyte'") as caught:
        read_idx(path)
    assert not isinstance(caught.value, FormatError)


@pytest.mark.catalogue(44)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n", "type of 08, 09, 0b, 0c, 0d, 0e, got 89 50 4e"),
        (b"\0\0\x0a\1\0\0\0\0", "got 00 00 0a"),
        (b"\0\1\x08\1\0\0\0\0", "got 00 01 08"),
        (b"\0\0\x08\0", "1 to 32 dimensions, got 0"),
        (b"\0\0\x08\x21" + bytes(200), "1 to 32 dimensions, got 33"),
        (b"\0\0\x08", "starts with 4 bytes, got 3"),
        (b"\0\0\x08\3\0\0\0\1\0\0", "3 dimensions take 12 bytes, got 6"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_wrong_magic(write, content, message, compress):
    with pytest.raises(FormatError, match=message):
        read_idx(write(compress(content)))


@pytest.mark.catalogue(51)
@pytest.mark.parametrize("wrong", [-1, 1, 5])
def test_read_idx_wrong_length_refused(write, wrong):
    content = (idx_bytes((2, 3), range(6)) + bytes(5))[: 12 + 6 + wrong]
    with pytest.raises(
        FormatError, match=rf"\(2, 3\) of uint8 make 18 bytes, the file has {18 + wrong}"
    ):
        read_idx(write(content))


@pytest.mark.catalogue(51)
@pytest.mark.parametrize(
    "shape", [(2**32 - 1,) * 2, (2**32 - 1,) * 3, (2**31, 2**31, 4), (0, *(2**32 - 1,) * 3)]
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_read_idx_giant_dimensions_allocate_nothing(write, monkeypatch, shape, compress):
    monkeypatch.setattr("matconv.io.idx.np.empty", None)
    path = write(compress(idx_bytes(shape, [])))
    with pytest.raises(FormatError, match="make|beyond any memory|hold at most"):
        read_idx(path)


@pytest.mark.catalogue(51)
def test_truncated_gzip(write):
    packed = gzip.compress(idx_bytes((4, 5), range(20)))
    for length in range(2, len(packed)):
        with pytest.raises(FormatError, match="file-idx3-ubyte': "):
            read_idx(write(packed[:length]))


@pytest.mark.catalogue(51)
def test_read_idx_gzip_flipped_byte_refused(write):
    content = idx_bytes((4, 5), range(20))
    packed = gzip.compress(content, mtime=0)
    errors = 0
    for i in range(len(packed)):
        for mask in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            path = write(packed[:i] + bytes([packed[i] ^ mask]) + packed[i + 1 :])
            try:
                array = read_idx(path)
            except FormatError:
                errors += 1
            else:
                # Gzip's own header and unused bits after the deflate stream are not content.
                assert array.tobytes() == content[12:]
    assert errors > 8 * (len(packed) - 10)


@pytest.mark.catalogue(51)
def test_gzip_content_shorter_or_longer_than_declared(write):
    content = idx_bytes((2, 3), range(6))
    with pytest.raises(FormatError, match=r"truncated: .*\(2, 3\) of uint8 take 6 bytes, got 5"):
        read_idx(write(gzip.compress(content[:-1])))
    with pytest.raises(FormatError, match="trailing bytes after the 6 that"):
        read_idx(write(gzip.compress(content + b"\0")))


@pytest.mark.catalogue(51)
def test_bad_checksum_and_garbage_behind_gzip(write):
    packed = bytearray(gzip.compress(idx_bytes((3,), [1, 2, 3])))
    packed[-8] ^= 1
    with pytest.raises(FormatError, match="damaged gzip content: CRC check failed"):
        read_idx(write(packed))
    with pytest.raises(FormatError, match="damaged gzip content: Not a gzipped file"):
        read_idx(write(gzip.compress(idx_bytes((1,), [1])) + b"garbage"))


@pytest.mark.catalogue(51)
def test_gzip_cannot_declare_more_than_deflate_holds(write, monkeypatch):
    monkeypatch.setattr("matconv.io.idx.np.empty", None)
    packed = gzip.compress(idx_bytes((10**6,), []))
    with pytest.raises(
        FormatError,
        match=f"declares 1000008 bytes, but {len(packed)} compressed bytes hold at most "
        f"{1032 * len(packed)}",
    ):
        read_idx(write(packed))


@pytest.mark.catalogue(51)
def test_read_idx_expansion_beyond_the_limit_refused(write):
    # The densest content: zeros, a thousand times smaller.
    squeeze = zlib.compressobj(9, wbits=31)
    packed = squeeze.compress(idx_bytes((2**27,), []) + bytes(2**27)) + squeeze.flush()
    path = write(packed)
    with pytest.raises(FormatError, match=r"expand to 134217736, over the limit of 67108864; give"):
        read_idx(path)
    assert read_idx(path, max_bytes=2**28).shape == (2**27,)
    with pytest.raises(FormatError, match="over the limit of 1000"):
        read_idx(path, max_bytes=1000)


@pytest.mark.catalogue(51)
def test_read_idx_inflates_only_the_declared_size(write):
    path = write(gzip.compress(idx_bytes((10,), range(10)) + bytes(2**26)))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="trailing bytes"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@pytest.mark.catalogue(51)
def test_counts_of_images_and_labels(write):
    images = write(idx_bytes((3, 1, 1), [1, 2, 3]), "images")
    labels = write(idx_bytes((2,), [0, 1]), "labels")
    with pytest.raises(FormatError, match=r"images': 3 images, but 2 labels in '.*labels'"):
        read_idx_images(images, labels)


@pytest.mark.catalogue(51)
def test_images_and_labels_exchanged_or_of_another_kind(write):
    images = write(idx_bytes((2, 1, 1), [1, 2]), "images")
    labels = write(idx_bytes((2,), [0, 1]), "labels")
    floats = write(idx_bytes((2,), [0.0, 1.0], 0x0D), "floats")
    with pytest.raises(FormatError, match=r"labels': images have 3 dimensions .* got 1: \(2,\)"):
        read_idx_images(labels, images)
    with pytest.raises(FormatError, match=r"images': labels are .* got uint8 of shape \(2, 1, 1\)"):
        read_idx_images(images, images)
    with pytest.raises(FormatError, match=r"floats': labels are integers .* got float32"):
        read_idx_images(images, floats)


@pytest.mark.parametrize(
    ("code", "kind"), [(8, "idx"), (14, "idx"), (0, "unknown"), (10, "unknown")]
)
def test_file_kind_idx_has_the_code_of_a_type(tmp_path, code, kind):
    (tmp_path / "x").write_bytes(bytes([0, 0, code, 1]) + bytes(12))
    assert file_kind(tmp_path / "x") == kind
