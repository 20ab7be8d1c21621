"""Workspace memory that calls reuse, with limits for the whole process.

A call takes the memory that it needs in addition to its arguments and results from here, and
returns it at its end:

* Idle buffers are kept for the next call of the same `Network` or `Objective`, up to an eighth of
  the machine's memory, but at least 1 GiB, in the whole process. Beyond this limit the buffers that
  have been idle longest are freed. The buffers of an object are freed with it, and a call that
  fails frees its buffers. Gradients of 32 MiB and more are such buffers too, as soon as the caller
  has no reference to them any more.
* The calling thread always gets buffers. Helper threads get buffers within a budget for all helpers
  of the process: a quarter of the machine's memory, but at least 1 GiB. When it is exhausted, a
  call is evaluated by fewer threads, with the same bits.

`set_limits` changes both limits.
"""

from __future__ import annotations

import os

from .kernels.buffers import Buffers, Reservation, limits, set_limits, usage

__all__ = ["Buffers", "Reservation", "limits", "set_limits", "usage"]


def _machine_bytes() -> int:
    """Return the memory of the machine in bytes; 0 if it is not known."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


set_limits(idle=max(1 << 30, _machine_bytes() // 8), reserved=max(1 << 30, _machine_bytes() // 4))
