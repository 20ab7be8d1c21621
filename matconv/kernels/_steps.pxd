"""A pass of one step of a program: as a whole, or in pieces that the threads of a team share."""

from ._activation cimport ACTIVATION_NONE
from ._operation cimport Call, Step
from ._passes cimport Execution
from ._program cimport Places, Program


# The address of element `count`.
cdef inline char *at_item(const Program *p, const void *start, Py_ssize_t count) noexcept nogil:
    return <char *> start + count * p.item_size


# Whether the program applies the activation, since the operation does not.
cdef inline bint activates(const Step *step) noexcept nogil:
    return step.applied.code != ACTIVATION_NONE


# Set the members of a call of step k that do not depend on the pass. IN: theta, prepared or NULL.
# OUT: call, arrays.
cdef void begin_call(
    const Program *p, Py_ssize_t k, const void *theta, const void *prepared, Py_ssize_t l,
    void *scratch, Call *call, const void **arrays,
) noexcept nogil

# Z = sigma(S) for l images, where Z may be S; or dZ = dZ sigma'(S) unless dZ is NULL, where S is Z
# if the activation, which is that of `activates`, does not need its input. Returns OK or
# INTERRUPTED.
cdef int activate(
    const Step *step, const Execution *execution, Py_ssize_t l, const void *S, void *Z, void *dZ
) noexcept nogil

# dZ = sigma' dZ and tdZ = sigma' tdZ + sigma'' R{S} dZ for l images, with the activation of the
# step, whether the operation or the program applies it. IN: S and tS = R{S} if it needs its input,
# otherwise Z and tZ in their place. INOUT: dZ, tdZ. Returns OK or INTERRUPTED.
cdef int activate_curved(
    const Step *step, const Execution *execution, Py_ssize_t l, const void *S, const void *tS,
    void *dZ, void *tdZ,
) noexcept nogil

# The pass of a step, as a whole or phase by phase. direction: FORWARD, BACKWARD, TANGENT or
# TANGENT_BACKWARD. INOUT: call. Returns OK or INTERRUPTED.
cdef int run_step(
    const Step *step, int direction, const Execution *execution, const Places *places, Call *call
) noexcept nogil

# Whether a forward pass over l images or, if backward, either pass has pieces for a team. Tangent
# passes have pieces if these do.
cdef bint program_has_pieces(const Program *p, Py_ssize_t l, bint backward) noexcept nogil
