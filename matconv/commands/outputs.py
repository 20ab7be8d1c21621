"""Names of output files, checked before the work begins. Only --force replaces existing files.

If the file cannot be written at the end, `write_elsewhere` writes it to another directory.
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

# the usual name of standard output
STANDARD = "-"


def check_output(path: str, force: bool) -> None:
    """Raise an error if a path cannot be written, or exists and ``force`` is False.

    Raises
    ------
    UsageError
        If the path is ``-``: commands do not write binary files to standard output.
    OSError
        In all other cases; the error has the path.
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
    """Return the first of ``stem.ext``, ``stem-2.ext``, ... that does not exist."""
    path = f"{stem}{extension}"
    count = 1
    while os.path.lexists(path):
        count += 1
        path = f"{stem}-{count}{extension}"
    return path


def write_elsewhere(path: str, error: OSError, write: Callable[[str], None], spare: str) -> str:
    """Write a file to another path after an error.

    Parameters
    ----------
    path : str
        Name under which the file could not be written.
    error : OSError
        The error.
    write : callable
        Writes the whole file to a path, or raises OSError.
    spare : str
        A short file name, in case that of ``path`` is the reason for the error.

    Returns
    -------
    str
        Path of the file that was written: a free name in the directory of ``path``, the working
        directory or the directory for temporary files.

    Raises
    ------
    OSError
        The argument ``error``, if the file could not be written to any of these directories.

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
    """Yield free names in the file's directory, the working directory and the temporary one."""
    own = os.path.dirname(path)
    for directory in dict.fromkeys((own, "", _temporary_directory())):
        for name in dict.fromkeys((os.path.basename(path), spare)):
            yield free_name(*os.path.splitext(os.path.join(directory, name)))


def _temporary_directory() -> str:
    """Return the directory for temporary files; "" if there is none."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return ""
