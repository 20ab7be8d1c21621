"""The passes of a program over images."""

from ._program cimport Program

# IN: arrays of step k. OUT: prepared, its own. SCRATCH: sizes.preparing numbers.
cdef void program_prepare_step(
    const Program *p, Py_ssize_t k, const void **arrays, void *prepared, void *scratch
) noexcept nogil

# IN: theta. OUT: prepared, prepared_size numbers. For the backward pass too when `backward`.
cdef void program_prepare(
    const Program *p, const void *theta, void *prepared, bint backward
) noexcept nogil

# Inference of l images, at most p.inference.images. IN: theta, prepared, Z. OUT: outputs, one
# array for each. SCRATCH: block, program_predict_size(p, l) bytes.
cdef void program_predict(
    const Program *p, const void *theta, const void *prepared, Py_ssize_t l, const void *Z,
    void **outputs, void *block,
) noexcept nogil

# The forward pass that keeps what `program_backward` needs, of at most p.training.images.
# IN: theta, prepared, Z. INOUT: block, p.training.bytes. Returns the target's value.
cdef void *program_forward(
    const Program *p, const void *theta, const void *prepared, Py_ssize_t l, const void *Z,
    void *block,
) noexcept nogil

# Where the gradient for the target goes before `program_backward`.
cdef void *program_target_gradient(const Program *p, void *block) noexcept nogil

# The gradient for theta, or added to it when add. IN: theta, prepared, Z. INOUT: block.
# OUT: dtheta.
cdef void program_backward(
    const Program *p, const void *theta, const void *prepared, Py_ssize_t l, const void *Z,
    void *block, bint add, void *dtheta,
) noexcept nogil
