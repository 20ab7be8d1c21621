"""Hostile and damaged .npz files: a FormatError each, in bounded time and memory."""

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.archives import archive, npy, plain

from matconv.io import FormatError, read_npz
from matconv.io.npz import open_npz

GOOD = plain("(2,)", bytes(16))


def test_archives_without_a_fault_are_read(read_member):
    assert read_member(archive(("A.npy", GOOD))).tolist() == [0, 0]
    assert read_member(archive(("A.npy", GOOD), method=zipfile.ZIP_DEFLATED)).tolist() == [0, 0]


@pytest.mark.catalogue(44)
@pytest.mark.parametrize("content", [b"\0\0\x08\1\0\0\0\0" * 9, b"P", b"hello world" * 9, GOOD])
def test_wrong_magic(read_member, content):
    with pytest.raises(FormatError, match=r"bad.npz': not an .npz file: it does not start as"):
        read_member(content)


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.catalogue(45)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_object_arrays_are_refused_and_never_unpickled(tmp_path, read_member, method):
    canary = tmp_path / "canary"
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([Canary(canary)], dtype=object))
    with pytest.raises(FormatError, match=r"'A': an array of Python objects \(pickle\), which is"):
        read_member(archive(("A.npy", file.getvalue()), method=method))
    assert not canary.exists()
    # numpy, when told to, would have done it.
    file.seek(0)
    np.lib.format.read_array(file, allow_pickle=True)
    assert canary.exists()


@pytest.mark.catalogue(45)
def test_read_npz_other_forms_of_pickle_refused(tmp_path, read_member):
    canary = tmp_path / "canary"
    bomb = pickle.dumps(Canary(canary))
    for member in (
        bomb,
        plain("(1,)", bomb, descr="|O8"),
        npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }\n", bomb),
    ):
        with pytest.raises(FormatError, match="not an .npy array|Python objects|a plain array"):
            read_member(archive(("A.npy", member)))
    assert not canary.exists()


@pytest.mark.catalogue(46)
def test_duplicate_names(read_member):
    with pytest.raises(FormatError, match="duplicate array 'A'"):
        read_member(archive(("A.npy", GOOD), ("A.npy", GOOD)))
    with pytest.raises(FormatError, match="duplicate array 'A'"):
        read_member(archive(("A.npy", GOOD), ("A", GOOD)))


@pytest.mark.catalogue(46)
@pytest.mark.parametrize(
    "name",
    ["../A.npy", "/A.npy", "a/A.npy", "..", "A/", "a\\A.npy", "C:A.npy", "A\n.npy", "\x1b[2J", ""],
)
def test_unsafe_names(read_member, name):
    with pytest.raises(FormatError, match="a member has the unsafe name '"):
        read_member(archive(("A.npy", GOOD), (name, GOOD)))


@pytest.mark.catalogue(46)
@pytest.mark.parametrize("second", [b"", b"B.npy"])
def test_read_npz_second_unicode_name_refused(read_member, second):
    # Some versions of zipfile take this name instead of the first, and warn when it is empty.
    info = zipfile.ZipInfo("A.npy")
    field = struct.pack("<BL", 1, zlib.crc32(b"A.npy")) + second
    info.extra = struct.pack("<2H", 0x9999, 2) + b"xx"
    info.extra += struct.pack("<2H", 0x7075, len(field)) + field
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr(info, GOOD)
    with pytest.raises(FormatError, match="entry 0 of the zip directory has a second name"):
        read_member(file.getvalue())


@pytest.mark.catalogue(46)
def test_fields_of_other_tools_are_ignored(read_member):
    info = zipfile.ZipInfo("A.npy")
    info.extra = struct.pack("<2H", 0x5455, 2) + b"up"
    info.comment = b"PK"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr(info, GOOD)
    assert read_member(file.getvalue()).tolist() == [0, 0]


@pytest.mark.catalogue(46)
def test_read_npz_name_not_utf_8_refused(read_member):
    content = archive(("Aä.npy", GOOD))
    with pytest.raises(FormatError, match="zip directory: 'utf-8' codec can't decode"):
        read_member(content.replace("ä".encode(), b"\xc3\xc3"))


@pytest.mark.catalogue(46)
def test_entries_of_the_directory(read_member):
    content = archive(("A.npy", GOOD))
    start = content.index(b"PK\1\2")
    with pytest.raises(FormatError, match="damaged: entry 0 of the zip directory is invalid"):
        read_member(content[:start] + b"PK\1\3" + content[start + 4 :])
    with pytest.raises(FormatError, match="damaged: entry 1 of the zip directory is invalid"):
        read_member(patched(content, 28, 4))
    with pytest.raises(FormatError, match="damaged: entry 1 of the zip directory is invalid"):
        read_member(content[:-22] + b"PK\1\2" + content[-22:-10] + b"\x37" + content[-9:])
    for offset in (28, 30, 32):
        with pytest.raises(FormatError, match="damaged: entry 0 goes beyond the zip directory"):
            read_member(patched(content, offset, 60_000))
    with pytest.raises(FormatError, match="zip directory: Corrupt extra field"):
        read_member(patched(patched(content, 28, 1), 30, 4))


@pytest.mark.catalogue(46)
def test_read_npz_name_with_zero_byte_refused(read_member):
    content = archive(("AXnpy.npy", GOOD)).replace(b"AXnpy.npy", b"A.npy\0npy")
    with pytest.raises(FormatError, match=r"unsafe name 'A.npy\\x00npy'"):
        read_member(content)


def patched(content, offset, value, form="<H"):
    """Change a field of the first entry of the directory."""
    start = content.index(b"PK\1\2") + offset
    patch = struct.pack(form, value)
    return content[:start] + patch + content[start + len(patch) :]


@pytest.mark.catalogue(46)
@pytest.mark.parametrize(
    ("offset", "value", "form", "message"),
    [
        (8, 0x01, "<H", "member 'A.npy' is encrypted"),
        (8, 0x41, "<H", "member 'A.npy' is encrypted"),
        (8, 0x20, "<H", "has unknown zip flags 0x0020"),
        (10, 12, "<H", "compressed by method 12, expected 0 or 8"),
        (10, 99, "<H", "compressed by method 99, expected 0 or 8"),
        (10, 8, "<H", "array 'A': (Bad CRC-32|Error -3|the data ends)"),
        (16, 1, "<I", "array 'A': Bad CRC-32 for file 'A.npy'"),
        (20, 0, "<I", "stored in 0 bytes, but declares 8"),
        (20, 2**31, "<I", "of 2147483648 bytes at 0 goes beyond the members' end at 1"),
        (24, 2**31, "<I", "but declares 2147483648"),
        (42, 2**31, "<I", "at 2147483648 goes beyond the members' end at 1"),
        (42, 7, "<I", "zip directory|array 'A': Bad magic number for file header|goes beyond"),
        (6, 99, "<H", "zip directory: zip file version 9.9"),
    ],
)
def test_fields_of_the_directory(read_member, offset, value, form, message):
    with pytest.raises(FormatError, match=message):
        read_member(patched(archive(("A.npy", GOOD)), offset, value, form))


@pytest.mark.catalogue(46)
def test_names_that_differ_in_directory_and_member(read_member):
    content = archive(("B.npy", GOOD))
    with pytest.raises(FormatError, match="'A': File name in directory .* differ"):
        read_member(content[:40] + content[40:].replace(b"B.npy", b"A.npy"))


@pytest.mark.catalogue(46)
def test_read_npz_wrong_end_record_refused(read_member):
    content = archive(("A.npy", GOOD))
    with pytest.raises(FormatError, match="truncated, or followed by other data"):
        read_member(content + b"\0")
    with pytest.raises(FormatError, match="truncated, or followed by other data"):
        read_member(content[:-2] + b"\5\0hello")
    with pytest.raises(FormatError, match="truncated, or followed by other data"):
        read_member(content[:-2] + b"\5\0")
    with pytest.raises(FormatError, match="truncated: 21 bytes are too few for a zip archive"):
        read_member(content[:21])
    with pytest.raises(FormatError, match="a zip directory of 51 bytes at .* does not end at"):
        read_member(content[:30] + b"\0" + content[30:])
    with pytest.raises(FormatError, match="a zip directory of 1 entries, but 2 are declared"):
        read_member(content[:-12] + b"\2\0" + content[-10:])


@pytest.mark.catalogue(46)
@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (-98, "there is no zip64 end record in its place"),
        (-34, "the zip64 end record is not in its place"),
        (-58, "a zip directory of .* bytes at .* does not end"),
        (-50, "a zip directory of .* bytes at .* does not end"),
    ],
)
def test_zip64_end_record(read_member, monkeypatch, offset, message):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    content = bytearray(archive(("A.npy", GOOD)))
    monkeypatch.undo()
    assert read_member(content).tolist() == [0, 0]
    content[offset] ^= 1
    with pytest.raises(FormatError, match=message):
        read_member(content)


@pytest.mark.catalogue(46)
def test_read_npz_locator_in_a_tiny_file_refused(read_member):
    tail = archive(("A.npy", GOOD))[-22:]
    with pytest.raises(FormatError, match="zip64 end record is not in its place"):
        read_member(b"PK\3\4" + bytes(60) + b"PK\6\7" + bytes(16) + tail)
    with pytest.raises(FormatError, match="zip64 end record is not in its place"):
        read_member(b"PK\3\4PK\6\7" + bytes(16) + tail)


@pytest.mark.catalogue(46)
def test_read_npz_giant_directory_not_read(read_member):
    content = archive(*((f"{i:0200}", b"") for i in range(4500)))
    with pytest.raises(FormatError, match="a zip directory of 1107000 bytes, expected at most"):
        read_member(content)


@pytest.mark.catalogue(46)
def test_read_npz_many_unexpected_arrays_short_message(read_member):
    with pytest.raises(FormatError, match="missing 'A'; unexpected 'x0'") as caught:
        read_member(archive(*((f"x{i}.npy", GOOD) for i in range(500))))
    assert len(str(caught.value)) < 400


@pytest.mark.catalogue(46)
def test_read_npz_expansion_beyond_the_limit_refused(read_member):
    bomb = archive(("A.npy", plain("(16777216,)", bytes(2**27))), method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**18
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=r"expand to 134217\d{3}, over the limit of 67108864"):
            read_member(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()
    assert read_member(bomb, max_bytes=2**28).shape == (2**24,)


@pytest.mark.catalogue(46)
def test_read_npz_impossible_compression_refused(read_member):
    member = plain("(100000,)", bytes(800_000))
    content = archive(("A.npy", member), method=zipfile.ZIP_DEFLATED)
    packed = struct.unpack("<I", content[content.index(b"PK\1\2") + 20 :][:4])[0]
    with pytest.raises(
        FormatError, match=f"'A.npy' declares 4294967294 bytes, but {packed} compressed bytes"
    ):
        read_member(patched(content, 24, 2**32 - 2, "<I"), max_bytes=2**40)


@pytest.mark.catalogue(46)
def test_members_that_share_their_bytes(read_member):
    # The second entry of the directory points at the member of the first.
    content = archive(*((f"{c}.npy", GOOD) for c in "AB"))
    second = content.index(b"PK\1\2", content.index(b"PK\1\2") + 1)
    overlapping = content[: second + 42] + bytes(4) + content[second + 46 :]
    with pytest.raises(FormatError, match="File name in directory|Overlapped entries"):
        read_member(overlapping)
    giant = archive(("A.npy", plain("(99999,)", bytes(799_992))), ("B.npy", GOOD))
    second = giant.index(b"PK\1\2", giant.index(b"PK\1\2") + 1)
    sizes = giant.index(b"PK\1\2") + 20
    overlapping = giant[: second + 20] + giant[sizes : sizes + 8] + giant[second + 28 : second + 42]
    with pytest.raises(FormatError, match=r"members of \d+ bytes overlap within"):
        read_member(overlapping + bytes(4) + giant[second + 46 :])


@pytest.mark.catalogue(46)
def test_damaged_deflate_stream(read_member):
    content = archive(("A.npy", GOOD), method=zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match="array 'A': Error -3 while decompressing data: invalid"):
        read_member(content[:35] + b"\xff" * 8 + content[43:])


@pytest.mark.catalogue(46)
def test_data_that_ends_before_its_size(read_member):
    member = plain("(4,)", bytes(32))
    packer = zlib.compressobj(9, wbits=-15)
    short = packer.compress(member[:-8]) + packer.flush()
    content = archive(("A.npy", member), method=zipfile.ZIP_DEFLATED)
    start = content.index(b"PK\1\2")
    packed = struct.unpack("<I", content[start + 20 : start + 24])[0]
    assert len(short) <= packed
    data = start - packed
    content = content[:data] + short.ljust(packed, b"\0") + content[start:]
    checksum = zlib.crc32(member[:-8])
    with pytest.raises(FormatError, match="'A': truncated: expected 32 bytes, got 24"):
        read_member(patched(content, 16, checksum, "<I"))


@pytest.mark.catalogue(46)
def test_read_npz_file_shrinks_during_read_refused(tmp_path):
    path = tmp_path / "bad.npz"
    path.write_bytes(archive(("A.npy", plain("(99999,)", bytes(799_992)))))
    with open_npz(path) as arrays:
        os.truncate(path, 400_000)
        with pytest.raises(FormatError, match="bad.npz': array 'A': the data ends too early"):
            arrays.read("A")


@pytest.mark.catalogue(46)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_read_npz_truncated_refused(read_member, method):
    content = archive(("A.npy", GOOD), method=method)
    for length in range(len(content)):
        with pytest.raises(FormatError, match="bad.npz': "):
            read_member(content[:length])


@settings(deadline=None, max_examples=300)
@given(
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 3),
    insert=st.tuples(st.integers(0, 2000), st.binary(max_size=4)),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_random_damage(tmp_path_factory, changes, cut, insert, method):
    member = plain("(3, 2)", np.arange(6.0).tobytes())
    content = bytearray(archive(("A.npy", member), ("B.npy", GOOD), method=method))
    for position, value in changes:
        content[position % len(content)] = value
    position = insert[0] % len(content)
    content[position:position] = insert[1]
    path = tmp_path_factory.mktemp("damage") / "bad.npz"
    path.write_bytes(content[: len(content) - cut] or b"P")
    try:
        arrays = read_npz(path, ["A", "B"])
    except FormatError as error:
        assert "bad.npz': " in str(error)
    else:
        assert arrays["A"].tolist() == [[0, 1], [2, 3], [4, 5]]
        assert arrays["B"].tolist() == [0, 0]
