"""Passes along a direction v in the space of theta: derivatives of the values and of the gradients.

    R{target}       program_forward, program_tangent
    J'B R{target}   and then program_backward, from B R{target} as the gradient of the target
    R{gradient}     program_forward, program_tangent and program_tangent_backward, from the gradient
                    of the target and its derivative
"""

from ._passes cimport Execution
from ._program cimport Program

# What these passes over l images read and write.
cdef struct Linear:
    const void *theta
    const void *prepared    # from theta, for both passes
    const void *v
    const void *t_prepared  # from v by `program_prepare`; for R{gradient} for both passes
    Py_ssize_t l
    void *state             # of `program_forward`
    void *block             # p.training.bytes
    void *t_block           # p.tangent.bytes, or for R{gradient} p.hessian.bytes
    # gradients of all values, p.hessian.state bytes, which `program_tangent_backward` sets or, if
    # has_gradients, reads; NULL: each call computes them again
    void *gradients
    bint has_gradients

# The first step that needs a pass but whose operation has none; -1 if there is none. backward: of
# `program_tangent_backward`, otherwise of `program_tangent`.
cdef Py_ssize_t program_without_tangent(const Program *p, bint backward) noexcept nogil

# R{target}, the derivative of the target along v. hessian: whether R{gradient} is computed later.
# IN: at, except blocks. INOUT: block. OUT: t_block. Returns OK or INTERRUPTED.
cdef int program_tangent(
    const Program *p, const Execution *execution, const Linear *at, bint hessian
) noexcept nogil

# The address of R{target} in t_block, after `program_tangent`.
cdef void *program_target_tangent(const Program *p, void *t_block, bint hessian) noexcept nogil

# The address of the derivative of the target's gradient in t_block, which is set before
# `program_tangent_backward`, as is the gradient in block unless has_gradients.
cdef void *program_target_curved(const Program *p, void *t_block) noexcept nogil

# R{dtheta}, the derivative of the gradient for theta along v, or += if add. IN: at, except blocks.
# INOUT: block, t_block. OUT: product. Returns OK, or INTERRUPTED: then product is unspecified.
cdef int program_tangent_backward(
    const Program *p, const Execution *execution, const Linear *at, bint add, void *product
) noexcept nogil
