"""Opening untrusted files, and writing files atomically.

errors      FormatError, for the content of a file
regular     opening of regular files, not of devices; limits for the expansion of compressed data
attributes  owner, group, mode and access control list of a file that is replaced
atomic      atomic_write: replacement of a whole file at once
"""

from matconv.files.atomic import atomic_write
from matconv.files.errors import FormatError

__all__ = ["FormatError", "atomic_write"]
