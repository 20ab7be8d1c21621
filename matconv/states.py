"""What passes over shards have computed, kept for later passes as far as a budget of memory allows."""

from __future__ import annotations

import mmap

import numpy as np

from .buffers import Buffers


class States:
    """Arrays of shards at one theta, of the first shards whose memory is within a budget.

    They are the states of forward passes, or the gradients of all values. Which shards they are kept
    of depends on the budget and on the images before them alone, so that these are the same in every
    call. Passes that read such an array have the same bits as those that compute it again. Several
    threads can use this object.

    Parameters
    ----------
    nbytes : int
        Bytes of an array for as many images as the program is planned for.
    images : int
        This number of images.
    extra : int
        Bytes of each image beside it.
    budget : float
        Bytes.

    Attributes
    ----------
    image_bytes : int
        Bytes for each image, rounded up.
    """

    def __init__(self, nbytes: int, images: int, extra: int, budget: float) -> None:
        self.image_bytes = -(-nbytes // images) + extra
        self._images = images
        self._budget = budget
        self._buffers = Buffers(nbytes)
        # by the first image of a shard: the array, and the images that it was computed from, whose
        # addresses a state contains
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def get(self, part: slice) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the array of a shard and its images; None if it has not been kept."""
        return self._kept.get(part.start)

    def new(self, part: slice) -> np.ndarray | None:
        """Return memory for the array of a shard; None if it is not to be kept."""
        if part.stop * self.image_bytes > self._budget:
            return None
        try:
            if part.stop - part.start < self._images:
                return sparse(self._buffers.nbytes)
            return self._buffers.take()
        except MemoryError:
            return None

    def keep(self, part: slice, array: np.ndarray, Z: np.ndarray) -> None:
        """Keep the array of a shard with the images Z, after the pass that sets it."""
        self._kept[part.start] = array, Z

    @property
    def count(self) -> int:
        """Number of arrays that are kept."""
        return len(self._kept)


def sparse(nbytes: int) -> np.ndarray:
    """Return an array of bytes of which a part will be used: only pages written to take memory.

    Raises
    ------
    MemoryError
    """
    private = {}
    if hasattr(mmap, "MAP_PRIVATE"):
        private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}
    try:
        memory = mmap.mmap(-1, max(nbytes, 1), **private)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            # a huge page would span the parts of several values that are not used
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    except OSError as error:
        raise MemoryError(f"States: no memory for {nbytes} bytes") from error
    return np.frombuffer(memory, np.uint8)
