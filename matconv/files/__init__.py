"""Opening files that somebody else wrote, and writing ours.

errors      FormatError: what a file holds is wrong (what the system says stays an OSError)
regular     opening what somebody else wrote: regular files only, bounded expansion
attributes  owner, group, mode and access control list of a file that is replaced
atomic      atomic_write: the old file or the new one, never half of it
"""

from matconv.files.atomic import atomic_write
from matconv.files.errors import FormatError

__all__ = ["FormatError", "atomic_write"]
