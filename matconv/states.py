"""States of forward passes over shards, kept for later passes as far as a budget of memory allows."""

from __future__ import annotations

import numpy as np

from .buffers import Buffers
from .kernels.program import Program


class States:
    """States of shards at one theta, of the first shards whose memory is within a budget.

    Which shards these are depends on the budget and on the images before them alone, so that all of
    them are the same in every call. Passes that read a state have the same bits as those that
    compute the forward pass again. Several threads can use this object.

    Parameters
    ----------
    program : Program
    images : int
        Number of images that the program is planned for.
    budget : int
        Bytes.

    Attributes
    ----------
    image_bytes : int
        Bytes of a state for each image, rounded up, with the image itself.
    """

    def __init__(self, program: Program, images: int, budget: int) -> None:
        image = int(np.prod(program.shape(0))) * program.dtype.itemsize
        self.image_bytes = -(-program.state_bytes // images) + image
        self._budget = budget
        # the memory of a state of fewer images is used in part only: the rest has no pages
        self._buffers = Buffers(program.state_bytes)
        # by the first image of a shard: the state and the images that it was computed from, whose
        # addresses it contains
        self._states: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def get(self, part: slice) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the state of a shard and its images; None if it has not been kept."""
        return self._states.get(part.start)

    def new(self, part: slice) -> np.ndarray | None:
        """Return memory for the state of a shard; None if it is not to be kept."""
        if part.stop * self.image_bytes > self._budget:
            return None
        try:
            return self._buffers.take()
        except MemoryError:
            return None

    def keep(self, part: slice, state: np.ndarray, Z: np.ndarray) -> None:
        """Keep the state of a shard, after the forward pass over its images Z."""
        self._states[part.start] = state, Z

    @property
    def count(self) -> int:
        """Number of states that are kept."""
        return len(self._states)
