"""Which file to write: never over another one without --force, and known before the work."""

from __future__ import annotations

import errno
import os


def check_output(path: str, force: bool) -> None:
    """Refuse a path that exists, or that cannot be written.

    Raises
    ------
    OSError
        With the path.
    """
    if not path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if os.path.lexists(path) and not force:
        raise FileExistsError(errno.EEXIST, "File exists; --force replaces it", path)
    directory = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(directory):
        raise FileNotFoundError(errno.ENOENT, "No such directory", os.path.dirname(path))
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "Not a directory to write in", directory)


def free_name(stem: str, extension: str) -> str:
    """The first of ``stem.ext``, ``stem-2.ext``, ``stem-3.ext``, ... that does not exist."""
    path = f"{stem}{extension}"
    count = 1
    while os.path.lexists(path):
        count += 1
        path = f"{stem}-{count}{extension}"
    return path
