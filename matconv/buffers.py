"""Memory of workspaces, which calls take turns with, bounded over the whole process.

What a call needs beside its arguments and results, it takes from here and gives back at its end:

* Idle buffers stay for the next call of the same `Network` or `Objective`, 1 GiB of them in the
  whole process. Beyond that, those are freed that were not used for the longest time; those of an
  object are freed with it. A call that fails frees its buffers.
* A calling thread always gets its own buffers. Threads that help it get some as long as all that
  helpers hold stays within a budget: a quarter of the machine's memory, at least 1 GiB. Beyond
  that a call is evaluated by fewer threads, with the same bits.

`set_limits` changes both limits.
"""

from __future__ import annotations

import os

from .kernels.buffers import Buffers, Reservation, limits, set_limits, usage

__all__ = ["Buffers", "Reservation", "limits", "set_limits", "usage"]


def _machine_bytes() -> int:
    """Memory of the machine; 0 where that is not known."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


set_limits(idle=1 << 30, reserved=max(1 << 30, _machine_bytes() // 4))
