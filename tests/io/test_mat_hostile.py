"""Damaged and malicious MATLAB files: an error, or another network, in bounded time and memory."""

import random
import struct
import tracemalloc
import zlib

import h5py
import numpy as np
import pytest
from support.matlab_contents import CONTENTS
from support.matlab_files import HEADER, Structs, save5, save73

from matconv.io import FormatError, load_model
from matconv.io.mat import Unsupported, read_mat
from matconv.io.model import Model


def attempt(path, content):
    """Load a file with some content; return whether there is a model."""
    path.write_bytes(content)
    try:
        model = load_model(path)
    except FormatError as error:
        assert str(error).startswith(f"'{path}': ")
        return False
    assert isinstance(model, Model) and model.theta.shape == (model.network.n,)
    return True


@pytest.mark.catalogue(46)
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("compress", [False, True])
def test_load_model_truncated_mat5_refused(tmp_path, name, compress):
    save5(tmp_path / "whole.mat", CONTENTS[name], compress)
    content = (tmp_path / "whole.mat").read_bytes()
    assert attempt(tmp_path / "cut.mat", content)
    for length in range(129, len(content), 5 if compress else 17):
        assert not attempt(tmp_path / "cut.mat", content[:length]), length


@pytest.mark.catalogue(50)
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("compress", [False, True])
def test_load_model_flipped_bytes_of_mat5_error_or_model(tmp_path, name, compress):
    save5(tmp_path / "whole.mat", CONTENTS[name], compress)
    content = (tmp_path / "whole.mat").read_bytes()
    loaded = [
        attempt(
            tmp_path / "flip.mat",
            content[:k] + bytes([content[k] ^ (1, 128)[k % 2]]) + content[k + 1 :],
        )
        for k in range(124, len(content), 3 if compress else 7)
    ]
    # the checksum of zlib finds the others
    assert not compress or sum(loaded) < 8


@pytest.mark.catalogue(50)
@pytest.mark.parametrize("name", CONTENTS)
def test_load_model_damaged_mat73_error_or_model(tmp_path, name):
    save73(tmp_path / "whole.mat", CONTENTS[name])
    content = (tmp_path / "whole.mat").read_bytes()
    assert attempt(tmp_path / "d.mat", content)
    choose = random.Random(3)
    for _ in range(40):
        k = choose.randrange(512, len(content))
        attempt(tmp_path / "d.mat", content[:k])
        flipped = bytes([content[k] ^ (1 << choose.randrange(8))])
        attempt(tmp_path / "d.mat", content[:k] + flipped + content[k + 1 :])


# Version 5: what elements declare


def element(kind, data):
    padding = 0 if kind == 15 else -len(data) % 8
    return struct.pack("<II", kind, len(data)) + data + bytes(padding)


def matrix(code, dims, *content, name=b""):
    flags = element(6, struct.pack("<II", code, 0))
    sizes = element(5, struct.pack(f"<{len(dims)}i", *dims))
    return element(14, flags + sizes + element(1, name) + b"".join(content))


def mat5(*elements):
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"".join(elements)


def double(*values):
    return element(9, struct.pack(f"<{len(values)}d", *values))


NESTED = matrix(6, (1, 1), double(1.0))
for _ in range(40):
    NESTED = matrix(1, (1, 1), NESTED, name=b"net")


@pytest.mark.catalogue(47)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (matrix(1, (2**31 - 1, 2**31 - 1), name=b"net"), "4611686014132420609 matrices do not fit"),
        (matrix(1, (10**9, 1), name=b"net"), "1000000000 matrices do not fit into 0 bytes"),
        (
            matrix(2, (10**9, 1), element(5, struct.pack("<i", 8)), element(1, b""), name=b"net"),
            "a struct array has no fields",
        ),
        (
            matrix(
                2, (10**8, 1), element(5, struct.pack("<i", 4)), element(1, b"abc\0"), name=b"net"
            ),
            "100000000 matrices do not fit",
        ),
        (matrix(6, (-1, 1), double(1.0), name=b"net"), "dimensions .-1, 1. are not those"),
        (matrix(6, (3, 10**6), double(1.0), name=b"net"), "3000000 elements declared, 1 found"),
        (matrix(4, (1, 10**9), element(16, b"ab"), name=b"net"), "1000000000 elements declared"),
        (NESTED, "nested deeper than 32 levels"),
        (element(14, element(6, b"1234")), "array flags: 8 bytes expected, got 4"),
        (element(99, b"12345678"), "type 99 is not that of a variable"),
        (struct.pack("<II", 14, 2**32 - 1), "4294967295 bytes declared, 0 are left"),
        (element(15, b"12345678"), "incorrect header check"),
        (element(15, zlib.compress(element(9, bytes(8)))), "compressed type 9 is not that"),
        (element(15, zlib.compress(matrix(6, (1, 1), double(1.0)))[:-3]), "truncated"),
    ],
)
def test_read_mat5_declared_sizes_are_checked(tmp_path, content, message):
    (tmp_path / "h.mat").write_bytes(mat5(content))
    with pytest.raises(FormatError, match=f"element 0 at byte 128: .*{message}|{message}"):
        read_mat(tmp_path / "h.mat", ["net"])


@pytest.mark.catalogue(46)
def test_read_mat5_bomb_refused_without_expanding_it(tmp_path, monkeypatch):
    monkeypatch.setattr("matconv.io.mat5._FREE", 2**16)
    zeros = matrix(9, (1, 2**24), element(2, bytes(2**24)), name=b"net")
    (tmp_path / "bomb.mat").write_bytes(mat5(element(15, zlib.compress(zeros))))
    with pytest.raises(FormatError, match="compressed content expands beyond the limit of"):
        read_mat(tmp_path / "bomb.mat", ["net"])


def test_read_mat5_own_elements_are_read(tmp_path):
    one = matrix(6, (1, 2), double(1.0, 2.0), name=b"net")
    for content in (mat5(one), mat5(element(15, zlib.compress(one)))):
        (tmp_path / "o.mat").write_bytes(content)
        assert read_mat(tmp_path / "o.mat", ["net", "other"])["net"].tolist() == [[1.0, 2.0]]


# Version 7.3: references and links


@pytest.fixture
def hdf5(tmp_path):
    """Make a file of version 7.3 by a function, and read the variable net."""

    def hdf5(make):
        with h5py.File(tmp_path / "h.mat", "w", userblock_size=512) as file:
            make(file)
        with open(tmp_path / "h.mat", "r+b") as file:
            file.write(HEADER.ljust(116) + bytes(8) + b"\0\2IM")
        return read_mat(tmp_path / "h.mat", ["net"])

    return hdf5


def cell_of(file, name, items):
    data = file.create_dataset(name, (len(items), 1), h5py.ref_dtype)
    data.attrs["MATLAB_class"] = np.bytes_("cell")
    for k, item in enumerate(items):
        data[k, 0] = item.ref
    return data


def cyclic(file):
    data = file.create_dataset("net", (1, 1), h5py.ref_dtype)
    data[0, 0] = data.ref


def repeated(file):
    item = file.create_dataset("one", data=np.ones((1, 1)))
    for k in range(20):
        item = cell_of(file, "net" if k == 19 else f"c{k}", [item] * 10)


def deep(file):
    item = file.create_dataset("one", data=np.ones((1, 1)))
    for k in range(40):
        item = cell_of(file, "net" if k == 39 else f"c{k}", [item])


def giant(file):
    file.create_dataset("net", (2**20, 2**20), "f8", chunks=(2**10, 2**10))


def giant_cell(file):
    file.create_dataset("net", (2**40, 1), h5py.ref_dtype, chunks=(2**10, 1))


def external_link(file):
    file["net"] = h5py.ExternalLink("/etc/passwd", "/net")


def soft_link(file):
    file["net"] = h5py.SoftLink("/net")


def external_data(file):
    file.create_dataset("net", (4,), "u1", external=[("/etc/passwd", 0, 4)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cyclic, "'/net' contains itself"),
        (repeated, "more references to objects than the file may have"),
        (deep, "nested deeper than 32 levels"),
        (giant, "'/net' has 8796093022208 bytes, too many for the file"),
        (giant_cell, "'/net' has .* bytes, too many for the file"),
        (external_link, "'net' is a link"),
        (soft_link, "'net' is a link"),
        (external_data, "the data of '/net' is in another file"),
    ],
)
def test_read_mat73_references_and_links_are_bounded(hdf5, make, message):
    with pytest.raises(FormatError, match=message):
        hdf5(make)


def test_read_mat73_many_references_to_one_object_refused(hdf5):
    def make(file):
        item = file.create_dataset("one", data=np.ones((1, 1)))
        references = np.empty((9000, 1), h5py.ref_dtype)
        references[:] = item.ref
        file.create_dataset("net", data=references, dtype=h5py.ref_dtype)

    with pytest.raises(FormatError, match="more references to objects than the file may have"):
        hdf5(make)


def test_read_mat73_texts_with_many_rows_are_counted(hdf5, monkeypatch):
    monkeypatch.setattr("matconv.io.mat73._FREE", 2**21)

    def make(file):
        shape = (2, 2**16)
        data = file.create_dataset("net", data=np.full(shape, 97, np.uint8), compression="gzip")
        data.attrs["MATLAB_class"] = np.bytes_("char")

    with pytest.raises(FormatError, match="'/net' has 5767168 bytes, too many for the file"):
        hdf5(make)


def test_load_model_object_of_matlab_says_what_to_do(tmp_path):
    with h5py.File(tmp_path / "o.mat", "w") as file:
        data = file.create_dataset("net", data=np.uint32([[1, 2]]))
        data.attrs["MATLAB_class"] = np.bytes_("dagnn.DagNN")
    with pytest.raises(FormatError, match="in MATLAB, net = net.saveobj"):
        load_model(tmp_path / "o.mat")


def test_load_model_too_many_layers_refused(tmp_path):
    save5(tmp_path / "n.mat", {"net": {"layers": Structs([{"type": "relu"}] * 8193)}})
    with pytest.raises(FormatError, match="8193 layers, at most 8192 are possible"):
        load_model(tmp_path / "n.mat", (2, 2, 1))


# Little content that declares much


def peak_of(function, *arguments):
    """Return the result of a function, or its FormatError as a text, and the peak of memory."""
    tracemalloc.start()
    try:
        found = function(*arguments)
    except FormatError as error:
        found = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return found, peak


def test_read_mat5_text_without_columns_is_empty(tmp_path):
    content = mat5(matrix(4, (2**17, 0), element(16, b""), name=b"net"))
    (tmp_path / "t.mat").write_bytes(content)
    found, peak = peak_of(read_mat, tmp_path / "t.mat", ["net"])
    assert found == {"net": ""} and peak < 2**20


def test_read_mat5_text_with_too_many_rows_unsupported(tmp_path):
    for rows, kind in ((2**16, list), (2**16 + 1, Unsupported)):
        content = mat5(matrix(4, (rows, 1), element(16, bytes(rows)), name=b"net"))
        (tmp_path / "t.mat").write_bytes(content)
        assert type(read_mat(tmp_path / "t.mat", ["net"])["net"]) is kind


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((0, 2**17), str), ((1, 2**16 + 1), Unsupported), ((1, 2**16), list)],
)
def test_read_mat73_text_rows_are_bounded(hdf5, shape, kind):
    def make(file):
        data = file.create_dataset("net", data=np.zeros(shape, np.uint8))
        data.attrs["MATLAB_class"] = np.bytes_("char")

    found = hdf5(make)["net"]
    assert type(found) is kind and (kind is not str or found == "")


ONE = matrix(6, (1,) * 32, element(2, b"1"))
ROWS = matrix(4, (2**12, 2), element(2, bytes(range(1, 129)) * 64))
STRUCTS = [element(5, struct.pack("<i", 2)), element(1, b"a\0"), struct.pack("<II", 14, 0) * 9000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (matrix(1, (9000, 1), ONE * 9000, name=b"net"), "the arrays of the file take 768 bytes"),
        (matrix(1, (99, 1), ROWS * 99, name=b"net"), "a text has 360448 bytes"),
        (matrix(2, (9000, 1), *STRUCTS, name=b"net"), "the structs of the file take 2232000 bytes"),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_read_mat5_many_small_values_are_counted(tmp_path, monkeypatch, content, message, compress):
    monkeypatch.setattr("matconv.io.mat5._FREE", 2**21)
    monkeypatch.setattr("matconv.io.mat5._RATIO", 64 if compress else 1)
    path = tmp_path / "m.mat"
    path.write_bytes(mat5(element(15, zlib.compress(content)) if compress else content))
    found, peak = peak_of(read_mat, path, ["net"])
    assert f"{message}, too many for the file" in found and peak < 2**22 + 64 * path.stat().st_size


@pytest.mark.parametrize("sparse", [False, True])
def test_read_mat5_arrays_larger_than_stored_refused(tmp_path, monkeypatch, sparse):
    monkeypatch.setattr("matconv.io.mat5._FREE", 2**16)
    # 8 bytes in memory for each byte that zlib expands to
    n = 2**16
    stored = element(2, bytes(n))
    parts = [stored, element(5, bytes(8)), element(9, b"")] if sparse else [stored]
    zeros = (
        matrix(5, (1, 1), *parts, name=b"net") if sparse else matrix(6, (1, n), stored, name=b"net")
    )
    (tmp_path / "z.mat").write_bytes(mat5(element(15, zlib.compress(zeros))))
    with pytest.raises(FormatError, match="an array has 524[0-9]* bytes, too many for the file"):
        read_mat(tmp_path / "z.mat", ["net"])


def test_load_simplenn_sizes_are_checked_before_parameters_are_allocated(tmp_path):
    empty = np.zeros((0, 0))
    config = {"L": 1.0, "LC": 0.0, "LF": 1.0, "wd_input": 300.0, "ht_input": 300.0}
    config |= {"ch_input": 1.0, "full_neurons": 60.0}
    config |= dict.fromkeys(("wd_pad_added", "wd_filter", "strides", "wd_subimage_pool"), empty)
    model = {"net_config": config, "weight": [np.zeros((1, 1))], "bias": [np.zeros((1, 1))]}
    save5(tmp_path / "s.mat", {"model": model})
    found, peak = peak_of(load_model, tmp_path / "s.mat")
    assert "must be (60, 90000), got (1, 1)" in found and peak < 2**21
    model = {"net_config": config, "theta": np.zeros((3, 1))}
    save5(tmp_path / "s.mat", {"model": model})
    found, peak = peak_of(load_model, tmp_path / "s.mat")
    assert "theta must have 5400060 elements, got 3" in found and peak < 2**21


def test_load_matconvnet_mean_of_very_many_channels_refused(tmp_path):
    for channels in (64, 65):
        size = np.array([2.0, 1.0, channels])
        meta = {"inputSize": size, "normalization": {"averageImage": np.ones((2, 1))}}
        save5(tmp_path / "m.mat", {"net": {"layers": [{"type": "relu"}], "meta": meta}})
        if channels == 64:
            assert np.shape(load_model(tmp_path / "m.mat").preprocessing["mean"]) == (2, 1, 64)
    with pytest.raises(FormatError, match="at most 64 channels can share a mean"):
        load_model(tmp_path / "m.mat")
