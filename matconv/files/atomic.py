"""Writing a file so that at any moment, whatever happens, the old or the new one is there."""

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
    """The file that `path` leads to through symbolic links, and its attributes (None: missing).

    Refused is what ``open(path, "wb")`` would refuse, and what a rename must not replace.
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
    # A rename asks for nothing but the directory; a file that its owner has protected stays.
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    if status.st_nlink > 1:
        # A rename would leave the old content under the other names, and writing in place can
        # lose the old content and the new.
        raise OSError(
            errno.EMLINK,
            f"the file has {status.st_nlink} names (hard links), of which only one can be "
            f"replaced; remove this one first, or choose another",
            path,
        )
    return os.path.realpath(path), attributes_of(path)


def check_target(path: FilePath) -> None:
    """Raise what `atomic_write` would raise before it writes anything.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Raises
    ------
    OSError
        With the path.

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
    """A descriptor to synchronise `directory` by; None where directories cannot be opened."""
    if os.name == "nt":
        return None
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _sync_directory(descriptor: int | None) -> None:
    """Make a rename durable, where the file system knows how to."""
    if descriptor is None:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


@contextmanager
def _temporary(path: str, directory: str, private: bool) -> Iterator[tuple[BinaryIO, str]]:
    """A new file in `directory`, removed at the end: yields (file, its name).

    The name does not grow with the target's, which may already be as long as names can be.
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
            # After a failed write, closing tries to write once more and fails again: the first
            # error is the one to report.
            with suppress(OSError):
                file.close()
    finally:
        if ours:
            # Usually it is no longer there under this name.
            with suppress(OSError):
                os.unlink(name)


@contextmanager
def atomic_write(path: FilePath) -> Iterator[BinaryIO]:
    """A binary file to write whose content appears at `path` at the end, whole and durable.

    The content goes to a temporary file in the same directory. When the block ends, it is
    synchronised to disk and renamed to `path`, and the directory is synchronised. If the block or
    any of this raises, the temporary is removed and `path` is what it was (only where the very
    last step fails is the new file there already, but it might not survive a power cut). A
    process that is killed may leave a file ``.matconv-*.tmp`` behind, never half a file at
    `path`. Of two processes that write to the same path, the last to rename wins whole.

    A symbolic link stays, and what it leads to is replaced. Owner, group, mode, access control
    list and user's extended attributes of an existing file are kept; what the system does not
    allow to keep is named in a warning, after the file has been replaced. A new file gets the
    usual mode (umask). A file that has several names (hard links) is refused: replacing it would
    leave the other names with the old content.

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
        With the path: if it is a directory (IsADirectoryError) or another non-regular file, if
        it has hard links, if it or its directory may not be written, if the disk is full.

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
        # Opened first: where this fails, nothing has been written yet.
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
