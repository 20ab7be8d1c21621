"""The passes of a program over images.

A pass of a step runs whole, on the calling thread, or in pieces that the threads of a team share:
phase by phase, as the operation's `split` says. `Execution` says which. The results of pieces have
the same bits for any number of threads, also for one; those of a whole pass may have others.

    program_predict, _forward, _backward    step by step
      run_step                              phase by phase: a barrier after each
        run_piece                           on any thread of the team
"""

from ._program cimport Program
from ._team cimport Team, Watch

# How a pass is executed. All zero: whole, by the calling thread alone, until it is done.
cdef struct Execution:
    bint shared         # run what has pieces in pieces
    Team *team          # who shares them; NULL: the calling thread alone
    void *extra         # scratch of the other threads, program_extra_size bytes for a whole team
    Watch *watch        # what stops the pass between two steps; NULL: nothing
    bint is_caller      # the calling thread is that of the watch

# Whether a shared pass over l images has pieces, in the forward pass or, with `backward`, in
# either: otherwise a team has nothing to do.
cdef bint program_has_pieces(const Program *p, Py_ssize_t l, bint backward) noexcept nogil

# IN: arrays of step k. OUT: prepared, its own. SCRATCH: sizes.preparing elements.
cdef void program_prepare_step(
    const Program *p, Py_ssize_t k, const void **arrays, void *prepared, void *scratch
) noexcept nogil

# IN: theta. OUT: prepared, prepared_size elements. For the backward pass too when `backward`.
cdef void program_prepare(
    const Program *p, const void *theta, void *prepared, bint backward
) noexcept nogil

# Inference of l images, at most p.inference.images. IN: theta, prepared, Z. OUT: outputs, one
# array for each. SCRATCH: block, program_predict_size(p, l) bytes. Returns OK, or INTERRUPTED: then
# the outputs are unspecified.
cdef int program_predict(
    const Program *p, const Execution *how, const void *theta, const void *prepared, Py_ssize_t l,
    const void *Z, void **outputs, void *block,
) noexcept nogil

# The forward pass that keeps what `program_backward` needs, of at most p.training.images.
# IN: theta, prepared, Z. INOUT: block, p.training.bytes. Returns OK or INTERRUPTED.
cdef int program_forward(
    const Program *p, const Execution *how, const void *theta, const void *prepared, Py_ssize_t l,
    const void *Z, void *block,
) noexcept nogil

# The target's value, after `program_forward`.
cdef void *program_target(const Program *p, void *block) noexcept nogil

# Where the gradient for the target goes before `program_backward`.
cdef void *program_target_gradient(const Program *p, void *block) noexcept nogil

# The gradient for theta, or added to it when add. IN: theta, prepared, Z. INOUT: block.
# OUT: dtheta. Returns OK, or INTERRUPTED: then dtheta is unspecified.
cdef int program_backward(
    const Program *p, const Execution *how, const void *theta, const void *prepared, Py_ssize_t l,
    const void *Z, void *block, bint add, void *dtheta,
) noexcept nogil
