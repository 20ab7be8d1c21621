"""Files that cannot be read: every reader raises the system's error with the path."""

import os
import signal

import pytest

from matconv import load_model, load_predictor, read_idx, read_images_npz
from matconv.io import (
    FormatError,
    load_matconvnet,
    load_simplenn,
    read_cifar,
    read_images_mat,
    read_npy,
    read_npz,
    read_picture,
    read_simplenn_config,
    read_simplenn_data,
)

READERS = (
    load_matconvnet,
    load_model,
    load_predictor,
    load_simplenn,
    read_cifar,
    read_idx,
    read_images_mat,
    read_images_npz,
    read_npy,
    read_picture,
    read_simplenn_config,
    lambda path: read_npz(path, "A"),
    lambda path: read_simplenn_data(path, (2, 2, 1)),
)

pytestmark = pytest.mark.catalogue(43)


@pytest.fixture(params=READERS, ids=lambda reader: reader.__name__.replace("<lambda>", "read_npz"))
def read(request):
    """A reader; a call that waits is a failure."""

    def fail(signum, frame):
        raise AssertionError("the call waited")

    previous = signal.signal(signal.SIGALRM, fail)
    signal.alarm(20)
    yield request.param
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


def test_reader_missing_file_raises(read, tmp_path):
    path = tmp_path / "no-such-file"
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*no-such-file'$"):
        read(path)


def test_reader_directory_raises(read, tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        read(tmp_path)
    assert caught.value.filename == str(tmp_path)


def test_reader_empty_file_raises(read, tmp_path):
    path = tmp_path / "nothing"
    path.write_bytes(b"")
    with pytest.raises(FormatError, match=r"nothing': the file is empty \(0 bytes\)$"):
        read(path)


def test_reader_fifo_raises(read, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"expected a regular file, got a FIFO: '.*fifo'$"):
        read(path)


def test_reader_device_raises(read):
    with pytest.raises(OSError, match="expected a regular file, got a character device"):
        read("/dev/zero")


def test_reader_without_permission_raises(read, tmp_path, monkeypatch):
    path = tmp_path / "locked"
    path.write_bytes(b"1")

    def refuse(name, flags, *rest):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr("matconv.files.regular.os.open", refuse)
    with pytest.raises(PermissionError) as caught:
        read(path)
    assert caught.value.filename == str(path)
