"""Each thread of a call on cores of its own for as long as it computes, where the system allows.

A thread that waits, if only for the interpreter's lock, is often woken on the core of the one that
wakes it, and stays behind it for milliseconds while another core idles; on virtual machines, whose
idle cores look taken, nearly always.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from matconv.kernels.cpu import core

__all__ = ["available_cores", "kept_on", "move", "parts"]


def available_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parts(n: int) -> list[list[int]]:
    """The cores that the calling thread may use, for n threads; [] each: nothing is known.

    The first part has the one that it is running on. With fewer cores than threads each gets all.

    Examples
    --------
    >>> from matconv.engines.cores import available_cores, parts
    >>> all(parts(available_cores())) or parts(1) == [[]]
    True
    """
    here = core()
    cores = sorted(os.sched_getaffinity(0)) if here >= 0 else []
    if len(cores) < n or here not in cores:
        return [cores] * n
    first = cores.index(here)
    cores = cores[first:] + cores[:first]
    return [cores[k::n] for k in range(n)]


@contextmanager
def kept_on(cores: list[int]) -> Iterator[None]:
    """The calling thread stays on these cores; after it, it may use those that it might before."""
    before = os.sched_getaffinity(0) if cores else []
    move(0, cores)
    try:
        yield
    finally:
        move(0, before)


def move(thread: int, cores: Collection[int]) -> None:
    """A thread, by its number (0: this one), uses these cores from now on.

    Where nothing is known of cores, or that is forbidden, those that it did before.
    """
    if cores:
        with suppress(OSError):
            os.sched_setaffinity(thread, cores)
