"""Merging of affine steps, gain x + bias per channel, with the steps before them."""

from ._program cimport Program

# Merge each affine step with the step before it, if that can absorb it: its value has no other
# reader, and it owns its parameters and has no activation. INOUT: p, before it is planned. The
# remaining steps come first, `merged` is set, and values are renumbered. Returns a status.
cdef int program_merge(Program *p) noexcept nogil
