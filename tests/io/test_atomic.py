"""atomic_write: the file at the path after success, errors and interrupts."""

import errno
import os
import stat
from pathlib import Path

import pytest
from support.faults import FaultyOs, save_by

from matconv.files import atomic_write

OLD = b"the old content"
NEW = b"n" * 20_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.bin"


def names(path):
    return sorted(os.listdir(path.parent))


# What is written


def test_atomic_write_new_file_created(path):
    with atomic_write(path) as file:
        file.write(NEW)
        assert not path.exists()
    assert path.read_bytes() == NEW and names(path) == ["file.bin"]


def test_existing_file_is_replaced_at_the_end(path):
    path.write_bytes(OLD)
    with open(path, "rb") as reader:
        with atomic_write(path) as file:
            file.write(NEW)
            file.flush()
            assert path.read_bytes() == OLD
        assert path.read_bytes() == NEW
        # Who has the old file open goes on reading it whole.
        assert reader.read() == OLD
    assert names(path) == ["file.bin"]


def test_atomic_write_file_can_seek(path):
    with atomic_write(path) as file:
        file.write(b"0123456789")
        file.seek(3)
        file.write(b"xyz")
    assert path.read_bytes() == b"012xyz6789"


def test_atomic_write_nothing_written_empty_file(path):
    with atomic_write(path):
        pass
    assert path.read_bytes() == b""


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
@pytest.mark.parametrize("name", ["größe-字.npz", "x" * 255, "with space\n"])
def test_atomic_write_any_name(tmp_path, kind, name):
    path = tmp_path / name
    for content in (OLD, NEW):
        with atomic_write(kind(path)) as file:
            file.write(content)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == [name]


def test_atomic_write_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_write("here.bin") as file:
        file.write(NEW)
    assert Path("here.bin").read_bytes() == NEW


# Mode and links


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o755])
def test_mode_of_an_existing_file_is_kept(path, mode):
    path.write_bytes(OLD)
    path.chmod(mode)
    with atomic_write(path) as file:
        file.write(NEW)
        (temporary,) = (p for p in path.parent.iterdir() if p != path)
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == NEW


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_mode_of_a_new_file_is_the_usual_one(path, umask):
    previous = os.umask(umask)
    try:
        with atomic_write(path) as file:
            file.write(NEW)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_atomic_write_link_target_replaced(tmp_path, path):
    target = tmp_path / "deep" / "target.bin"
    target.parent.mkdir()
    target.write_bytes(OLD)
    target.chmod(0o640)
    path.symlink_to("link2")
    (tmp_path / "link2").symlink_to("deep/target.bin")
    with atomic_write(path) as file:
        file.write(NEW)
    assert os.readlink(path) == "link2" and target.read_bytes() == NEW
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert names(path) == ["deep", "file.bin", "link2"] and names(target) == ["target.bin"]


def test_atomic_write_dangling_link_target_created(tmp_path, path):
    path.symlink_to("target.bin")
    with atomic_write(path) as file:
        file.write(NEW)
    assert path.is_symlink() and (tmp_path / "target.bin").read_bytes() == NEW


# Errors


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("exists", [True, False])
def test_atomic_write_error_in_block_keeps_old_file(path, error, exists):
    if exists:
        path.write_bytes(OLD)
    before = names(path)
    with pytest.raises(error), atomic_write(path) as file:
        file.write(NEW)
        raise error
    assert names(path) == before
    assert not exists or path.read_bytes() == OLD


def test_atomic_write_error_of_another_file_keeps_its_name(path):
    with pytest.raises(FileNotFoundError) as caught, atomic_write(path):
        os.stat("/no/such/file")
    assert caught.value.filename == "/no/such/file" and names(path) == []


@pytest.mark.catalogue(52)
def test_atomic_write_directory_refused(tmp_path, path):
    path.mkdir()
    link = tmp_path / "link"
    link.symlink_to(path)
    for target in (path, f"{path}/", link, f"{path}/.", f"{path}/missing/", f"{path}/missing/.."):
        with pytest.raises(IsADirectoryError) as caught, atomic_write(target):
            raise AssertionError("the block was entered")
        assert caught.value.filename == str(target)
        assert str(target) in str(caught.value) and ".tmp" not in str(caught.value)
    assert os.listdir(path) == []


@pytest.mark.catalogue(52)
def test_atomic_write_missing_directory_refused(tmp_path):
    for target in (tmp_path / "no" / "file", "", tmp_path / "dangling"):
        if target == tmp_path / "dangling":
            target.symlink_to("no/file")
        with pytest.raises(FileNotFoundError) as caught, atomic_write(target):
            raise AssertionError("the block was entered")
        assert caught.value.filename == str(target)


@pytest.mark.catalogue(52)
def test_atomic_write_impossible_paths_refused(tmp_path, path):
    path.write_bytes(OLD)
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    for target, number in (
        (path / "below", errno.ENOTDIR),
        (loop, errno.ELOOP),
        (tmp_path / ("x" * 256), errno.ENAMETOOLONG),
    ):
        with pytest.raises(OSError) as caught, atomic_write(target) as file:
            file.write(NEW)
        assert (caught.value.errno, caught.value.filename) == (number, str(target))
    assert names(path) == ["file.bin", "loop"]


@pytest.mark.catalogue(52)
def test_atomic_write_fifo_refused(path):
    os.mkfifo(path)
    with (
        pytest.raises(OSError, match="expected a regular file, got a FIFO: '.*file.bin'"),
        atomic_write(path),
    ):
        raise AssertionError("the block was entered")
    assert stat.S_ISFIFO(path.stat().st_mode)


# The order of the steps, and a fault at each of them


def write_new(path):
    with atomic_write(path) as file:
        # Two are larger than the buffer, the third stays in it until the end.
        file.write(NEW[:10_000])
        file.write(NEW[10_000:19_900])
        file.write(NEW[19_900:])


WRITES = ["write"] * 3
EXISTING = ["open", "open", "fdopen", *WRITES, "chmod", "fsync", "replace", "fsync"]


def test_atomic_write_order_of_the_steps(path, monkeypatch):
    seen = []

    class Watching(FaultyOs):
        def step(self, name, real, *args):
            result = super().step(name, real, *args)
            if name == "fsync":
                kind = os.fstat(args[0]).st_mode
                seen.append(("directory" if stat.S_ISDIR(kind) else "file", path.read_bytes()))
            return result

    path.write_bytes(OLD)
    faulty = Watching()
    save_by(monkeypatch, faulty)
    write_new(path)
    assert faulty.trace == EXISTING
    # The content is on the disk before the name, and the name before the call returns.
    assert seen == [("file", OLD), ("directory", NEW)]


@pytest.mark.catalogue(52)
@pytest.mark.parametrize("at", range(len(EXISTING)))
def test_atomic_write_error_at_each_step_leaves_whole_file(path, monkeypatch, at):
    def fail(name, real, args):
        # As the system does: a write does not know the name of its file.
        raise OSError(errno.EIO, "Input/output error", *([] if name == "write" else args[:1]))

    path.write_bytes(OLD)
    descriptors = len(os.listdir("/proc/self/fd"))
    save_by(monkeypatch, FaultyOs(at, fail))
    with pytest.raises(OSError, match="Input/output error") as caught:
        write_new(path)
    # Only after the rename is the new file there.
    assert path.read_bytes() == (NEW if at == len(EXISTING) - 1 else OLD)
    assert names(path) == ["file.bin"]
    assert caught.value.filename == str(path)
    if EXISTING[at] != "fdopen":
        assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.catalogue(52)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("at", range(len(EXISTING)))
def test_atomic_write_interrupt_at_each_step_leaves_whole_file(path, monkeypatch, at, first):
    results = []

    def interrupt(name, real, args):
        if not first:
            results.append(real(*args))
        raise KeyboardInterrupt

    path.write_bytes(OLD)
    save_by(monkeypatch, FaultyOs(at, interrupt))
    with pytest.raises(KeyboardInterrupt):
        write_new(path)
    renamed = at > EXISTING.index("replace") or (at == EXISTING.index("replace") and not first)
    assert path.read_bytes() == (NEW if renamed else OLD)
    assert names(path) == ["file.bin"]
    # What a call returned is lost when the interrupt comes before it is kept.
    for result in results:
        if EXISTING[at] == "open":
            os.close(result)
        elif EXISTING[at] == "fdopen":
            result.close()


@pytest.mark.catalogue(52)
def test_atomic_write_full_disk_keeps_the_old_file(path, monkeypatch):
    def full(name, real, args):
        os.close(args[0])
        return open("/dev/full", "wb")

    path.write_bytes(OLD)
    save_by(monkeypatch, FaultyOs(EXISTING.index("fdopen"), full))
    with pytest.raises(OSError, match="No space left on device: '.*file.bin'") as caught:
        write_new(path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == OLD and names(path) == ["file.bin"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_file_systems_that_cannot_synchronise_directories(path, monkeypatch, number):
    def unable(name, real, args):
        raise OSError(number, os.strerror(number))

    path.write_bytes(OLD)
    save_by(monkeypatch, FaultyOs(len(EXISTING) - 1, unable))
    write_new(path)
    assert path.read_bytes() == NEW


def test_atomic_write_temporary_of_another_is_kept(path, monkeypatch):
    monkeypatch.setattr("matconv.files.atomic.secrets.token_hex", lambda size: "taken")
    theirs = path.parent / ".matconv-taken.tmp"
    theirs.write_bytes(OLD)
    with pytest.raises(FileExistsError) as caught:
        write_new(path)
    assert caught.value.filename == str(path)
    assert theirs.read_bytes() == OLD and not path.exists()
