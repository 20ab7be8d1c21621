"""Opening untrusted files, and writing files atomically.

errors      FormatError: the content of a file is wrong
regular     opening regular files only; limits for the expansion of compressed data
attributes  owner, group, mode and access control list of a file that is replaced
atomic      atomic_write: the old file or the whole new one
"""

from matconv.files.atomic import atomic_write
from matconv.files.errors import FormatError

__all__ = ["FormatError", "atomic_write"]
