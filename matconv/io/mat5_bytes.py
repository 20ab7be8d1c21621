"""Bytes of a part of a file, expanded if they are compressed, within a limit."""

from __future__ import annotations

import zlib
from typing import BinaryIO

__all__ = ["Bytes"]

_CHUNK = 2**16


class Bytes:
    """Bytes of a file in their order, as they are or expanded by zlib.

    Parameters
    ----------
    file : binary file
        At the first byte.
    size : int
        Number of bytes in the file.
    limit : int or None
        Maximum number of expanded bytes, beyond which methods raise ValueError; None if the content
        is not compressed.

    Attributes
    ----------
    expanded : int
        Number of bytes that have been expanded.
    compressed : bool
    """

    def __init__(self, file: BinaryIO, size: int, limit: int | None) -> None:
        self._file, self._left = file, size
        self._expand = None if limit is None else zlib.decompressobj()
        self._limit = limit or 0
        self._buffer = b""
        # expanded bytes, and how many of them have been returned
        self._ready, self._returned = b"", 0
        self.expanded = 0
        self.compressed = limit is not None

    def read(self, count: int) -> bytes:
        """Return the next bytes; raise EOFError if there are fewer."""
        parts = []
        while count:
            part = self._some(count)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def skip(self, count: int) -> None:
        """Skip bytes; raise EOFError if there are fewer."""
        while count:
            count -= len(self._some(min(count, _CHUNK)))

    def finish(self) -> None:
        """Read to the end, where zlib compares the checksum."""
        while True:
            try:
                self._some(_CHUNK)
            except EOFError:
                break
        if self._expand is not None and not self._expand.eof:
            raise ValueError("truncated compressed content")

    def _some(self, count: int) -> bytes:
        if self._expand is None:
            count = min(count, self._left)
            part = self._file.read(count)
            self._left -= len(part)
        else:
            part = self._expanded(count)
        if not part:
            raise EOFError("truncated")
        return part

    def _expanded(self, count: int) -> bytes:
        """Return some of the next expanded bytes; none at the end."""
        if self._returned == len(self._ready):
            self._ready, self._returned = self._next_expanded(), 0
        part = self._ready[self._returned : self._returned + count]
        self._returned += len(part)
        return part

    def _next_expanded(self) -> bytes:
        # many at a time, because zlib copies what it has not expanded yet at each call
        expand = self._expand
        assert expand is not None
        part = b""
        while not part and not expand.eof:
            if not self._buffer:
                self._buffer = self._file.read(min(self._left, _CHUNK))
                self._left -= len(self._buffer)
                if not self._buffer:
                    break
            part = expand.decompress(self._buffer, _CHUNK)
            self._buffer = expand.unconsumed_tail
        self.expanded += len(part)
        if self.expanded > self._limit:
            raise ValueError(f"compressed content expands beyond the limit of {self._limit} bytes")
        return part
