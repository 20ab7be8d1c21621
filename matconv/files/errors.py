"""What is raised for the content of a file; what the system says stays an OSError."""

import os
from typing import TypeAlias

__all__ = ["FilePath", "FormatError", "format_error"]

FilePath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class FormatError(ValueError):
    """A file can be read, but what it holds is damaged, hostile or of another format.

    The message names the file, the part of it, what came and what was expected.

    Examples
    --------
    >>> raise FormatError("'digits.npz': array 'y' is missing")
    Traceback (most recent call last):
        ...
    matconv.files.errors.FormatError: 'digits.npz': array 'y' is missing
    """


def format_error(path: FilePath, problem: str) -> FormatError:
    """A FormatError about the file `path`, named as OSError names its files."""
    return FormatError(f"{os.fsdecode(path)!r}: {problem}")
