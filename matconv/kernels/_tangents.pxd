"""The tangent pass of a program: derivatives of the values along a direction v."""

from ._passes cimport Execution
from ._program cimport Program

# The first step that needs a tangent pass but whose operation has none; -1 if there is none.
cdef Py_ssize_t program_without_tangent(const Program *p) noexcept nogil

# R{target}, the derivative of the target along v, after `program_forward` and before
# `program_backward`. IN: theta, prepared; v; t_prepared, prepared from v by `program_prepare`;
# block. OUT: t_block, p.tangent.bytes. Returns OK or INTERRUPTED.
cdef int program_tangent(
    const Program *p, const Execution *execution, const void *theta, const void *prepared,
    const void *v, const void *t_prepared, Py_ssize_t l, void *block, void *t_block,
) noexcept nogil

# The address of R{target} in the block for tangents, after `program_tangent`.
cdef void *program_target_tangent(const Program *p, void *t_block) noexcept nogil
