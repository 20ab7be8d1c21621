"""Planning: how many images go at once, and where everything lies in memory."""

from ._program cimport Program

# Plan for at most `images` at once, algorithms for `usual`. With a target, a value, training is
# planned as well; -1: inference alone. `frozen`: theta does not change. `compact`: prepared
# parameters take no more memory than in theta. Returns a Status.
cdef int program_plan(
    Program *p, Py_ssize_t images, Py_ssize_t usual, Py_ssize_t target, bint frozen,
    bint compact=*
) noexcept nogil

# Only the places of the values for inference: p.inference.value and values. `program_plan` does
# this too. Returns a Status.
cdef int program_arrange(Program *p) noexcept nogil

# Bytes of the block for inference of l images, at most p.inference.images.
cdef Py_ssize_t program_predict_size(const Program *p, Py_ssize_t l) noexcept nogil

# Bytes of `extra`: scratch of the threads beside the calling one. -1: they overflow.
cdef Py_ssize_t program_extra_size(const Program *p, int n_threads) noexcept nogil
