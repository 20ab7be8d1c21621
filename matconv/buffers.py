"""Buffers that calls take turns with: nothing of a shard's size is allocated twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

# bytes: where a buffer begins
LINE = 64


class Buffers:
    """Buffers of one size that nobody uses now.

    Parameters
    ----------
    nbytes : int
    max_bytes : int, optional
        Larger ones are not kept for the next call.
    """

    def __init__(self, nbytes: int, max_bytes: float = float("inf")) -> None:
        self.nbytes = nbytes
        self._kept = nbytes <= max_bytes
        # list.append and list.pop are atomic
        self._idle: list[np.ndarray] = []

    @contextmanager
    def borrow(self) -> Iterator[np.ndarray]:
        """One of them; it is idle again after the ``with`` block, unless that raised."""
        try:
            buffer = self._idle.pop()
        except IndexError:
            whole = np.empty(self.nbytes + LINE, np.uint8)
            start = -whole.ctypes.data % LINE
            buffer = whole[start : start + self.nbytes]
        yield buffer
        if self._kept:
            self._idle.append(buffer)
