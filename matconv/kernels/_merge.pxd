"""Steps that are gain x + bias per channel, taken into the parameters of the steps before them."""

from ._program cimport Program

# Merge each affine step, where the step before it can take it in: that one is read by nothing else,
# has parameters of its own and no activation. INOUT: p, not planned yet: the steps that are left
# come first, and `merged` says what they take in. Values are numbered anew. Returns a Status.
cdef int program_merge(Program *p) noexcept nogil
