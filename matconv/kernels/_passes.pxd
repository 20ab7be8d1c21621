"""The passes of a program over images.

The pass of a step runs as a whole on the calling thread, or in pieces that the threads of a team
share, phase by phase, see `Operation.split`. With pieces, results have the same bits for any number
of threads, including one; their bits may differ from those of the pass as a whole.

    program_predict, _forward, _backward, _tangent      for each step; the last in `_tangents`
      run_step, in `_steps`                             for each phase, with a barrier after it
        run_piece                                       for each piece, on any thread of the team
"""

from ._operation cimport Masks
from ._program cimport Program
from ._team cimport Team, Watch

# The execution of a pass. All zero: as a whole, by the calling thread only, without interruption.
cdef struct Execution:
    bint shared         # run steps that have pieces in pieces
    Team *team          # the threads that share them; NULL: the calling thread only
    void *extra         # scratch of the other threads, program_extra_size bytes
    Watch *watch        # stops the pass between two steps; NULL: never
    bint is_caller      # the calling thread is the caller of the watch
    const Masks *masks  # masks of Dropout; NULL: none

# Prepare the parameters of step k for inference. IN: arrays. OUT: prepared, of this step only.
# SCRATCH: sizes.preparing elements.
cdef void program_prepare_step(
    const Program *p, Py_ssize_t k, const void **arrays, void *prepared, void *scratch
) noexcept nogil

# Prepare all parameters; if backward, also for the backward pass. IN: theta. OUT: prepared,
# prepared_size elements.
cdef void program_prepare(
    const Program *p, const void *theta, void *prepared, bint backward
) noexcept nogil

# Inference of l <= p.inference.images images. IN: theta, prepared, Z. OUT: outputs, an array for
# each. SCRATCH: block, program_predict_size(p, l) bytes. Returns OK, or INTERRUPTED: then the
# outputs are unspecified.
cdef int program_predict(
    const Program *p, const Execution *execution, const void *theta, const void *prepared,
    Py_ssize_t l, const void *Z, void **outputs, void *block,
) noexcept nogil

# The forward pass of l <= p.training.images images, for `program_backward`. IN: theta, prepared, Z.
# OUT: state, the block or another array of p.training.state bytes. INOUT: block, p.training.bytes.
# Returns OK or INTERRUPTED.
cdef int program_forward(
    const Program *p, const Execution *execution, const void *theta, const void *prepared,
    Py_ssize_t l, const void *Z, void *state, void *block,
) noexcept nogil

# The address of the target's value in the state, after `program_forward`.
cdef void *program_target(const Program *p, void *state) noexcept nogil

# The address of the target's gradient in the block, which is set before `program_backward`.
cdef void *program_target_gradient(const Program *p, void *block) noexcept nogil

# The gradient for theta, or += if add. IN: theta, prepared, state; what state was computed from.
# INOUT: block. OUT: dtheta. Returns OK, or INTERRUPTED: then dtheta is unspecified.
cdef int program_backward(
    const Program *p, const Execution *execution, const void *theta, const void *prepared,
    Py_ssize_t l, void *state, void *block, bint add, void *dtheta,
) noexcept nogil

# Set the elements of dtheta to 0 that belong to parameters on which the target does not depend.
# OUT: dtheta.
cdef void program_clear_unreached(const Program *p, void *dtheta) noexcept nogil
