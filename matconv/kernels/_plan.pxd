"""The plan of a program: the number of images per call, and the layout of memory."""

from ._program cimport Program

# Plan for up to `images` images per call, with the algorithms chosen for `usual` images. target:
# the value whose gradients are computed; -1: inference only. frozen: theta does not change.
# compact: prepared parameters take no more memory than in theta. INOUT: p. Returns a status.
cdef int program_plan(
    Program *p, Py_ssize_t images, Py_ssize_t usual, Py_ssize_t target, bint frozen,
    bint compact=*
) noexcept nogil

# Compute only the layout of the values for inference: p.inference.value and values, which
# `program_plan` computes too. INOUT: p. Returns a status.
cdef int program_arrange(Program *p) noexcept nogil

# Bytes of the block for inference of l <= p.inference.images images.
cdef Py_ssize_t program_predict_size(const Program *p, Py_ssize_t l) noexcept nogil

# Bytes of Execution.extra, the scratch of all threads except the calling one; -1 on overflow.
cdef Py_ssize_t program_extra_size(const Program *p, int n_threads) noexcept nogil
