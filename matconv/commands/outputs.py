"""Which file to write: never over another one without --force, and known before the work.

What was computed is not lost if the file cannot be written in the end: see `write_elsewhere`.
"""

from __future__ import annotations

import errno
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator

from ..files.atomic import check_target
from ..files.regular import refuse_irregular
from .options import UsageError

# The usual name for standard output.
STANDARD = "-"


def check_output(path: str, force: bool) -> None:
    """Refuse a path that exists, or that cannot be written.

    Raises
    ------
    UsageError
        For ``-``: no command writes a file of its own format to standard output.
    OSError
        With the path.
    """
    if path == STANDARD:
        raise UsageError(
            "--output -: a model file is not written to standard output; name a file ('./-' for "
            "one of that name)"
        )
    if not path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if os.path.exists(path):
        refuse_irregular(path, os.stat(path).st_mode)
    if os.path.lexists(path) and not force:
        raise FileExistsError(errno.EEXIST, "File exists; --force replaces it", path)
    directory = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(directory):
        raise FileNotFoundError(errno.ENOENT, "No such directory", os.path.dirname(path))
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "Not a directory to write in", directory)
    check_target(path)


def free_name(stem: str, extension: str) -> str:
    """The first of ``stem.ext``, ``stem-2.ext``, ``stem-3.ext``, ... that does not exist."""
    path = f"{stem}{extension}"
    count = 1
    while os.path.lexists(path):
        count += 1
        path = f"{stem}-{count}{extension}"
    return path


def write_elsewhere(path: str, error: OSError, write: Callable[[str], None], spare: str) -> str:
    """Write a file that could not be written under its name wherever that is possible.

    Parameters
    ----------
    path : str
        Where it could not be written.
    error : OSError
        Why.
    write : callable
        Writes all of the file to a path, or raises OSError.
    spare : str
        A short file name, for where that of ``path`` has become impossible.

    Returns
    -------
    str
        The file that was written: a free name beside ``path``, in the working directory, or in
        the directory for temporary files.

    Raises
    ------
    OSError
        ``error``, if nothing could be written anywhere.

    Warns
    -----
    UserWarning
        After the file was written, with both names.
    """
    for other in _other_names(path, spare):
        if other == path:
            continue
        try:
            write(other)
        except OSError:
            continue
        warnings.warn(
            f"{path!r} could not be written ({error.strerror or error}); saved as {other!r} "
            f"instead",
            UserWarning,
            stacklevel=2,
        )
        return other
    raise error


def _other_names(path: str, spare: str) -> Iterator[str]:
    """Free names for a file: beside it, in the working directory, in that for temporary files."""
    own = os.path.dirname(path)
    for directory in dict.fromkeys((own, "", _temporary_directory())):
        for name in dict.fromkeys((os.path.basename(path), spare)):
            yield free_name(*os.path.splitext(os.path.join(directory, name)))


def _temporary_directory() -> str:
    """The directory for temporary files; that of the file itself where there is none."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return ""
