"""Atomic writing of files: at any moment the path leads to the old or to the whole new file."""

import errno
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from matconv.files.attributes import Attributes, apply_attributes, attributes_of
from matconv.files.errors import FilePath
from matconv.files.regular import naming, refuse_irregular

__all__ = ["atomic_write", "check_target"]

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL
for _name in ("O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


def _target(path: str) -> tuple[str, Attributes | None]:
    """Return the file that `path` leads to through symbolic links, and its attributes or None.

    Raises OSError if ``open(path, "wb")`` would, and for a file that must not be replaced.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        target = os.path.realpath(path)
        if path and (not os.path.basename(path) or os.path.isdir(target)):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path) from None
        if not path:
            raise
        return target, None
    refuse_irregular(path, status.st_mode)
    # A rename needs permission for the directory only, but a read-only file must not be replaced.
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    if status.st_nlink > 1:
        # After a rename the other names would keep the old content; writing in place is not
        # atomic.
        raise OSError(
            errno.EMLINK,
            f"the file has {status.st_nlink} names (hard links), of which only one can be "
            f"replaced; remove this one first, or choose another",
            path,
        )
    return os.path.realpath(path), attributes_of(path)


def check_target(path: FilePath) -> None:
    """Raise the error that `atomic_write` would raise before it writes.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Raises
    ------
    OSError
        If the file cannot be written; the error has the path.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     check_target(os.path.join(directory, "new.bin"))
    """
    path = os.fsdecode(path)
    with naming(path, always=True):
        directory = os.path.dirname(_target(path)[0])
        if not os.path.isdir(directory):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _open_directory(directory: str) -> int | None:
    """Return a descriptor for `fsync` of a directory; None where directories cannot be opened."""
    if os.name == "nt":
        return None
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _sync_directory(descriptor: int | None) -> None:
    """Synchronise a directory to disk, if the file system can, so that a rename is durable."""
    if descriptor is None:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


@contextmanager
def _temporary(path: str, directory: str, private: bool) -> Iterator[tuple[BinaryIO, str]]:
    """Create a file in `directory`, yield (file, its name), and remove it.

    Its name does not contain that of the target, which may have the maximum length.
    """
    name = os.path.join(directory, f".matconv-{secrets.token_hex(8)}.tmp")
    ours = True
    try:
        try:
            with naming(path, always=True):
                descriptor = os.open(name, _FLAGS, 0o600 if private else 0o666)
                file = os.fdopen(descriptor, "wb")
        except FileExistsError:
            ours = False
            raise
        try:
            yield file, name
        finally:
            # After a failed write, closing tries to write again and fails; report the first error.
            with suppress(OSError):
                file.close()
    finally:
        if ours:
            # usually it has been renamed
            with suppress(OSError):
                os.unlink(name)


@contextmanager
def atomic_write(path: FilePath) -> Iterator[BinaryIO]:
    """Write a binary file whose content appears at `path` at the end, complete and durable.

    The content is written to a temporary file in the same directory. When the block ends, this
    file is synchronised to disk and renamed to `path`, and the directory is synchronised. If the
    block or one of these steps raises, the temporary file is removed and `path` is unchanged. (If
    only the last step fails, the new file is in place but may not survive a power failure.) A
    process that is killed may leave a file ``.matconv-*.tmp``, but no incomplete file at `path`.
    If two processes write to the same path, the one that renames last wins.

    If `path` is a symbolic link, its target is replaced. Owner, group, mode, access control list
    and user's extended attributes of an existing file are kept; a warning names those that the
    system does not allow to keep. A new file gets the usual mode (umask). A file with several
    names (hard links) is refused: the other names would keep the old content.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Yields
    ------
    file : binary file
        To write to and seek in. It is closed at the end of the block.

    Raises
    ------
    OSError
        If `path` is a directory (IsADirectoryError) or another non-regular file, has hard links,
        or cannot be written, or if the disk is full. The error has the path.

    Warns
    -----
    UserWarning
        If an attribute of the old file could not be kept.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "theta.bin")
    ...     with atomic_write(path) as file:
    ...         n = file.write(b"1234")
    ...     os.listdir(directory)
    ['theta.bin']
    """
    path = os.fsdecode(path)
    lost: list[str] = []
    with naming(path, always=True):
        target, old = _target(path)
        directory = os.path.dirname(target)
        # before anything is written, because it may fail
        directory_descriptor = _open_directory(directory)
    try:
        with _temporary(path, directory, private=old is not None) as (file, name):
            with naming(path):
                yield file
            with naming(path, always=True):
                file.flush()
                if old is not None:
                    lost = apply_attributes(old, file.fileno(), name)
                os.fsync(file.fileno())
                file.close()
                os.replace(name, target)
                _sync_directory(directory_descriptor)
    finally:
        if directory_descriptor is not None:
            os.close(directory_descriptor)
    if lost:
        warnings.warn(
            f"{path!r} was replaced, but not all of its attributes could be kept: "
            f"{', '.join(lost)}",
            UserWarning,
            stacklevel=3,
        )
