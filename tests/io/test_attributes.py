"""Owner, group, mode, access control list and hard links of a file that is replaced."""

import errno
import os
import stat
import struct
import warnings

import numpy as np
import pytest
from support.faults import FaultyOs, save_by

from matconv import Dense, Network
from matconv.files import atomic_write
from matconv.files.atomic import check_target
from matconv.io import load_model, save_model

OLD, NEW = b"the old content", b"the new content"
ROOT = os.geteuid() == 0
ACL = "system.posix_acl_access"
# Of another user and group where that can be given; else one's own, which must be kept as well.
OWNER = (1000, 1001) if ROOT else (os.getuid(), os.getgid())


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(OLD)
    return path


def replace(path):
    with atomic_write(path) as file:
        file.write(NEW)
    assert path.read_bytes() == NEW and os.listdir(path.parent) == [path.name]


def replace_with_warning(path):
    with pytest.warns(UserWarning, match="was replaced, but not all of its attributes") as caught:
        replace(path)
    (warning,) = caught
    assert warning.filename == __file__
    return str(warning.message)


def attributes(path):
    status = os.stat(path)
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def control_list(user, mask):
    """The bytes of an access control list that gives a user more than the others have."""
    none = 0xFFFFFFFF
    entries = [(1, 6, none), (2, 6, user), (4, 0, none), (16, mask, none), (32, 0, none)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


class Extended(FaultyOs):
    """Extended attributes in a dict by inode, wherever the test runs."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.stored = {}

    def _of(self, file):
        return self.stored.setdefault(os.stat(file).st_ino, {})

    def listxattr(self, file):
        return list(self._of(file))

    def getxattr(self, file, name):
        return self._of(file)[name]

    def setxattr(self, file, name, value):
        self.step("setxattr", self._of(file).__setitem__, name, value)

    def removexattr(self, file, name):
        self.step("removexattr", self._of(file).__delitem__, name)


# Kept


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755, 0o6755])
def test_atomic_write_owner_group_and_mode_are_kept(path, mode):
    os.chown(path, *OWNER)
    path.chmod(mode)
    before = attributes(path)
    assert before == (*OWNER, mode)
    replace(path)
    assert attributes(path) == before


def test_atomic_write_owner_behind_a_symbolic_link_is_kept(tmp_path, path):
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link"
    link.symlink_to("../file.bin")
    os.chown(path, *OWNER)
    path.chmod(0o640)
    with atomic_write(link) as file:
        file.write(NEW)
    assert link.is_symlink() and path.read_bytes() == NEW
    assert attributes(path) == (*OWNER, 0o640)


def test_save_model_owner_is_kept(tmp_path):
    net = Network((2, 2, 1), [Dense(2)])
    path = tmp_path / "m.npz"
    path.touch()
    os.chown(path, *OWNER)
    path.chmod(0o600)
    save_model(path, net, net.init(0))
    assert attributes(path) == (*OWNER, 0o600)
    assert load_model(path).theta.tobytes() == net.init(0).tobytes()


def test_atomic_write_extended_attributes_are_kept(path, monkeypatch):
    faulty = Extended()
    content = {ACL: b"list", "user.note": b"a", "security.selinux": b"label"}
    # What belongs to the content, or to the file system, does not go with the name.
    other = {"security.capability": b"c", "security.ima": b"i", "trusted.overlay": b"t"}
    faulty.stored[os.stat(path).st_ino] = {**content, **other}
    save_by(monkeypatch, faulty)
    replace(path)
    assert faulty.stored[os.stat(path).st_ino] == content
    assert faulty.trace.index("chmod") > faulty.trace.index("setxattr")


def test_atomic_write_list_of_the_directory_is_not_inherited(path, monkeypatch):
    class Inheriting(Extended):
        def _fdopen(self, descriptor, mode):
            self.stored[os.fstat(descriptor).st_ino] = {ACL: b"of the directory"}
            return super()._fdopen(descriptor, mode)

    faulty = Inheriting()
    save_by(monkeypatch, faulty)
    replace(path)
    assert faulty.stored[os.stat(path).st_ino] == {}


def test_atomic_write_access_control_list_of_the_system(path):
    wanted = control_list(1234, 6)
    try:
        os.setxattr(path, ACL, wanted)
        os.setxattr(path, "user.note", b"a")
    except OSError as error:
        # A file system without them: there is nothing to keep.
        assert error.errno in (errno.ENOTSUP, errno.EPERM)
    before = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    mode = attributes(path)
    replace(path)
    assert {name: os.getxattr(path, name) for name in os.listxattr(path)} == before
    assert attributes(path) == mode


def test_atomic_write_new_file_asks_for_no_attributes(tmp_path, monkeypatch):
    faulty = FaultyOs()
    save_by(monkeypatch, faulty)
    replace(tmp_path / "new.bin")
    assert not {"fchown", "setxattr", "chmod"} & set(faulty.trace)


# Not kept, and said


class Unprivileged(FaultyOs):
    """A process that may give files only to some groups, and to no other user."""

    def __init__(self, groups=(), number=errno.EPERM):
        super().__init__()
        self.groups, self.number = groups, number

    def fchown(self, descriptor, uid, gid):
        if uid != -1 or gid not in self.groups:
            raise OSError(self.number, os.strerror(self.number))
        self.real_group = gid

    def stat(self, path):
        """As of a file of user 7001 and group 7002, set-user-ID."""
        status = list(os.stat(path))
        status[0] |= stat.S_ISUID | stat.S_ISGID
        status[4:6] = 7001, 7002
        return os.stat_result(status)

    def fstat(self, descriptor):
        status = list(os.fstat(descriptor))
        status[5] = getattr(self, "real_group", status[5])
        return os.stat_result(status)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL, errno.ENOTSUP])
def test_atomic_write_owner_that_cannot_be_kept_is_said(path, monkeypatch, number):
    path.chmod(0o644)
    save_by(monkeypatch, Unprivileged(number=number))
    message = replace_with_warning(path)
    monkeypatch.undo()
    assert message == (
        f"{str(path)!r} was replaced, but not all of its attributes could be kept: "
        f"owner 7001 (now {os.getuid()}), group 7002 (now {os.stat(path).st_gid})"
    )
    # Another owner must not get a file that runs with the rights of its owner.
    assert attributes(path)[2] == 0o644


def test_atomic_write_group_is_kept_where_the_owner_is_not(path, monkeypatch):
    save_by(monkeypatch, Unprivileged(groups=(7002,)))
    message = replace_with_warning(path)
    assert message.endswith(f"could be kept: owner 7001 (now {os.getuid()})")


def test_atomic_write_extended_attributes_that_cannot_be_kept_are_said(path, monkeypatch):
    class Refusing(Extended):
        def setxattr(self, file, name, value):
            raise OSError(errno.ENOTSUP, "Not supported")

    faulty = Refusing()
    faulty.stored[os.stat(path).st_ino] = {ACL: b"list", "user.note": b"a"}
    save_by(monkeypatch, faulty)
    message = replace_with_warning(path)
    assert message.endswith("could be kept: access control list, attribute user.note")


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_atomic_write_mode_that_cannot_be_kept_is_said(path, monkeypatch, number):
    def refuse(name, real, args):
        raise OSError(number, os.strerror(number))

    path.chmod(0o644)
    recorder = FaultyOs()
    save_by(monkeypatch, recorder)
    replace(path)
    save_by(monkeypatch, FaultyOs(recorder.trace.index("chmod"), refuse))
    assert replace_with_warning(path).endswith("could be kept: mode 644")
    assert attributes(path)[2] == 0o600


def test_atomic_write_warning_as_error_comes_after_the_file(path, monkeypatch):
    save_by(monkeypatch, Unprivileged())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="owner 7001"):
            replace(path)
    assert path.read_bytes() == NEW and os.listdir(path.parent) == [path.name]


@pytest.mark.catalogue(52)
def test_atomic_write_owner_fails_for_another_reason(path, monkeypatch):
    class Broken(Unprivileged):
        def fchown(self, descriptor, uid, gid):
            raise OSError(errno.EIO, "Input/output error")

    save_by(monkeypatch, Broken())
    with pytest.raises(OSError, match="Input/output error: '.*file.bin'"):
        replace(path)
    assert path.read_bytes() == OLD and os.listdir(path.parent) == [path.name]


# Hard links


def test_atomic_write_hard_link_is_refused(tmp_path, path):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "name"
    os.link(path, other)
    link = tmp_path / "other" / "link"
    link.symlink_to(path)
    for name in (path, other, link):
        with (
            pytest.raises(OSError, match=r"the file has 2 names \(hard links\)") as caught,
            atomic_write(name),
        ):
            raise AssertionError("the block was entered")
        assert (caught.value.errno, caught.value.filename) == (errno.EMLINK, str(name))
        with pytest.raises(OSError, match=r"the file has 2 names \(hard links\)"):
            check_target(name)
    assert path.read_bytes() == other.read_bytes() == OLD and path.samefile(other)
    other.unlink()
    with atomic_write(path) as file:
        file.write(NEW)
    assert path.read_bytes() == NEW


def test_save_model_hard_link_keeps_both_names(tmp_path):
    net = Network((2, 2, 1), [Dense(2)])
    save_model(tmp_path / "m.npz", net, net.init(0))
    os.link(tmp_path / "m.npz", tmp_path / "n.npz")
    with pytest.raises(OSError, match="remove this one first, or choose another"):
        save_model(tmp_path / "m.npz", net, np.zeros(net.n))
    for name in ("m.npz", "n.npz"):
        assert load_model(tmp_path / name).theta.tobytes() == net.init(0).tobytes()


# check_target


@pytest.mark.catalogue(52)
def test_check_target_refuses_as_atomic_write_does(tmp_path, path, monkeypatch):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for target in (
        tmp_path,
        fifo,
        path / "below",
        tmp_path / ("x" * 256),
        tmp_path / "no" / "m",
        "",
    ):
        with pytest.raises(OSError) as expected, atomic_write(target):
            raise AssertionError("the block was entered")
        with pytest.raises(type(expected.value)) as caught:
            check_target(target)
        assert str(caught.value) == str(expected.value)
    monkeypatch.setattr("matconv.files.atomic.os.access", lambda path, mode: mode == os.W_OK)
    with pytest.raises(PermissionError, match="Permission denied: '.*file.bin'"):
        check_target(path)


def test_check_target_leaves_no_trace(tmp_path, path):
    check_target(path)
    check_target(tmp_path / "new")
    assert os.listdir(tmp_path) == ["file.bin"] and path.read_bytes() == OLD
