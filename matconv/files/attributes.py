"""Attributes of a file: owner, group, mode, extended attributes."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import NamedTuple

__all__ = ["Attributes", "apply_attributes", "attributes_of"]

# POSIX access control lists are stored in this extended attribute.
_ACL = "system.posix_acl_access"
# security.capability, security.ima and security.evm are not kept: they depend on the content.
_LABEL = "security.selinux"
_UNSUPPORTED = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class Attributes(NamedTuple):
    """Owner, group, permission bits and extended attributes of a file."""

    uid: int
    gid: int
    mode: int
    extended: dict[str, bytes]


def _extended(file: str | int) -> dict[str, bytes]:
    """Return the extended attributes to keep; {} on systems without extended attributes."""
    found: dict[str, bytes] = {}
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(file):
                if name in (_ACL, _LABEL) or name.startswith("user."):
                    with suppress(OSError):
                        found[name] = os.getxattr(file, name)
    return found


def attributes_of(path: str) -> Attributes:
    """Return the attributes of the file that `path` leads to."""
    status = os.stat(path)
    return Attributes(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), _extended(path))


def apply_attributes(wanted: Attributes, descriptor: int, name: str) -> list[str]:
    """Give a new file these attributes as far as the system allows.

    Parameters
    ----------
    wanted : Attributes
    descriptor : int
        Descriptor of the new file, opened for writing.
    name : str
        Path of the new file.

    Returns
    -------
    list of str
        Texts about the attributes that could not be kept. If the owner or the group is among them,
        the set-user-ID and set-group-ID bits are not kept either, which is not listed.
    """
    lost = _apply_owner(wanted, descriptor)
    mode = wanted.mode & ~(stat.S_ISUID | stat.S_ISGID) if lost else wanted.mode
    lost += _apply_extended(wanted.extended, descriptor)
    # After the owner, because changing it clears the set-user-ID bit, and after the access control
    # list, because its mask is the group's part of the mode.
    try:
        os.chmod(name, mode)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        lost.append(f"mode {wanted.mode:o}")
    return lost


def _apply_owner(wanted: Attributes, descriptor: int) -> list[str]:
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) == (wanted.uid, wanted.gid) or not hasattr(os, "fchown"):
        return []
    # Without privileges the owner cannot be changed; the group can, to one of the user's groups.
    for uid, gid in ((wanted.uid, wanted.gid), (-1, wanted.gid)):
        try:
            os.fchown(descriptor, uid, gid)
            break
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    status = os.fstat(descriptor)
    lost = []
    if status.st_uid != wanted.uid:
        lost.append(f"owner {wanted.uid} (now {status.st_uid})")
    if status.st_gid != wanted.gid:
        lost.append(f"group {wanted.gid} (now {status.st_gid})")
    return lost


def _apply_extended(wanted: dict[str, bytes], descriptor: int) -> list[str]:
    present = _extended(descriptor)
    lost = []
    if _ACL in present and _ACL not in wanted:
        # inherited from the directory, it may give access that the old file did not
        try:
            os.removexattr(descriptor, _ACL)
        except OSError:
            lost.append("absence of an access control list")
    for key, value in wanted.items():
        if present.get(key) == value:
            continue
        try:
            os.setxattr(descriptor, key, value)
        except OSError:
            lost.append("access control list" if key == _ACL else f"attribute {key}")
    return lost
