"""Gradients of single images: a backward pass for all images, whose gradients for parameters are
computed image by image."""

from ._passes cimport Execution
from ._program cimport Program

# What is computed of the gradients for theta of l images; NULL: not wanted. Either rows, or some of
# the others.
cdef struct ImageResults:
    void *rows          # OUT, (l, n): the gradients
    double *squares     # OUT, (l,): squares of their norms
    void *total         # INOUT, (n,): sums of squares are added to it
    void *row           # SCRATCH, (n,), unless there are rows
    void *inputs        # SCRATCH, program_image_scratch elements, if there is a total

# Elements of scratch for `ImageResults.inputs`.
cdef Py_ssize_t program_image_scratch(const Program *p) noexcept nogil

# The gradients for theta, image by image, from the gradient of the target in the block. IN: theta,
# prepared, state; what state was computed from. INOUT: block, results. SCRATCH: gradients,
# p.hessian.state bytes. Returns OK, or INTERRUPTED: then results are unspecified.
cdef int program_image_gradients(
    const Program *p, const Execution *execution, const void *theta, const void *prepared,
    Py_ssize_t l, void *state, void *block, void *gradients, const ImageResults *results,
) noexcept nogil
