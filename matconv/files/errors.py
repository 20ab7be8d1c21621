"""FormatError: the error for the content of a file. Errors of the system remain OSError."""

import os
from typing import TypeAlias

__all__ = ["FilePath", "FormatError", "format_error"]

FilePath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class FormatError(ValueError):
    """The content of a file is damaged, malicious or of another format.

    The message has the file, the part of it, what was found and what was expected.

    Examples
    --------
    >>> raise FormatError("'digits.npz': array 'y' is missing")
    Traceback (most recent call last):
        ...
    matconv.files.errors.FormatError: 'digits.npz': array 'y' is missing
    """


def format_error(path: FilePath, problem: str) -> FormatError:
    """Return a FormatError about the file `path`, whose name is written as in an OSError."""
    return FormatError(f"{os.fsdecode(path)!r}: {problem}")
