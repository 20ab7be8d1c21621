"""A pass of one step of a program."""

from libc.string cimport memset

from ._activation cimport Activation, activation_is_rounded
from ._operation cimport (
    BACKWARD, FORWARD, PIECE_ELEMENTS, TANGENT, TANGENT_BACKWARD, WHOLE, Call, Pass, Step,
    activation_of, piece_count, piece_length,
)
from ._passes cimport Execution
from ._program cimport Places, Program
from ._team cimport Piece, team_run, watch_stopped
from ._bias_relu cimport apply_activation, apply_activation_backward
from ._rounded cimport rounded_curved_rows
from ._status cimport INTERRUPTED, OK
from ._types cimport real


cdef void begin_call(
    const Program *p, Py_ssize_t k, const void *theta, const void *prepared, Py_ssize_t l,
    void *scratch, Call *call, const void **arrays,
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef int i
    memset(call, 0, sizeof(Call))
    for i in range(step.n_arrays):
        arrays[i] = at_item(p, theta, step.array_at[i])
    call.arrays = arrays
    call.images = l
    call.scratch = scratch
    if prepared != NULL:
        call.prepared = at_item(p, prepared, p.prepared[k])
        if p.prepared_backward[k] >= 0:
            call.prepared_backward = at_item(p, prepared, p.prepared_backward[k])
    call.phase = WHOLE


# Run pieces on the threads of a team, or on the calling thread. Returns OK or INTERRUPTED.
cdef int run_pieces(
    const Execution *execution, Piece function, void *argument, Py_ssize_t pieces
) noexcept nogil:
    cdef Py_ssize_t k
    if execution.team != NULL:
        return team_run(execution.team, function, argument, pieces)
    for k in range(pieces):
        if k > 0 and watch_stopped(execution.watch, execution.is_caller):
            return INTERRUPTED
        function(argument, k, 0)
    return OK


# Activations --------------------------------------------------------------------------------------


# The activation of a value: Z = sigma(S), where Z may be S; or dZ = dZ sigma' unless dZ is NULL,
# with sigma' computed from S, which is Z where the activation does not need its input.
cdef struct Elements:
    const Step *step
    const void *S
    void *Z
    void *dZ
    Py_ssize_t count, length    # number of elements, and of those of a piece


cdef inline Elements elements_for(
    const Step *step, Py_ssize_t l, const void *S, void *Z, void *dZ
) noexcept nogil:
    cdef Elements elements
    elements.step, elements.S, elements.Z, elements.dZ = step, S, Z, dZ
    elements.count = l * step.values[step.output].size
    elements.length = piece_length(elements.count, 1, PIECE_ELEMENTS)
    return elements


cdef void activate_real(
    const Activation *activation, Py_ssize_t count, const real *S, real *Z, real *dZ
) noexcept nogil:
    if dZ == NULL:
        apply_activation(activation, count, S, Z)
    else:
        apply_activation_backward(activation, count, <const real *> dZ, S, dZ)


cdef void activate_piece(void *argument, Py_ssize_t piece, int participant) noexcept nogil:
    cdef const Elements *own = <const Elements *> argument
    cdef Py_ssize_t first = piece * own.length, size = min(own.length, own.count - first)
    cdef Py_ssize_t at = first * (8 if own.step.is_double else 4)
    cdef const char *S = <const char *> own.S + at
    cdef char *Z = NULL if own.Z == NULL else <char *> own.Z + at
    cdef char *dZ = NULL if own.dZ == NULL else <char *> own.dZ + at
    if own.step.is_double:
        activate_real(&own.step.applied, size, <const double *> S, <double *> Z, <double *> dZ)
    else:
        activate_real(&own.step.applied, size, <const float *> S, <float *> Z, <float *> dZ)


cdef int activate(
    const Step *step, const Execution *execution, Py_ssize_t l, const void *S, void *Z, void *dZ
) noexcept nogil:
    cdef Elements elements = elements_for(step, l, S, Z, dZ)
    cdef Py_ssize_t pieces = piece_count(elements.count, elements.length)
    if not execution.shared:
        elements.length, pieces = elements.count, 1
    return run_pieces(execution, activate_piece, &elements, pieces)


# dS = sigma' dZ and R{dS} in the place of dZ and tdZ, see `activate_curved`.
cdef struct CurvedElements:
    Activation activation
    bint is_double
    const void *S
    const void *tS
    void *dZ
    void *tdZ
    Py_ssize_t count, length    # number of elements, and of those of a piece


cdef void curved_real(
    const Activation *activation, Py_ssize_t count, const real *S, const real *tS, real *dZ,
    real *tdZ,
) noexcept nogil:
    if activation_is_rounded(activation.code):
        rounded_curved_rows(activation, count, S, tS, dZ, tdZ)
    else:
        # linear pieces
        apply_activation_backward(activation, count, <const real *> dZ, S, dZ)
        apply_activation_backward(activation, count, <const real *> tdZ, S, tdZ)


cdef void curved_piece(void *argument, Py_ssize_t piece, int participant) noexcept nogil:
    cdef const CurvedElements *own = <const CurvedElements *> argument
    cdef Py_ssize_t first = piece * own.length, size = min(own.length, own.count - first)
    if own.is_double:
        curved_real(
            &own.activation, size, <const double *> own.S + first, <const double *> own.tS + first,
            <double *> own.dZ + first, <double *> own.tdZ + first,
        )
    else:
        curved_real(
            &own.activation, size, <const float *> own.S + first, <const float *> own.tS + first,
            <float *> own.dZ + first, <float *> own.tdZ + first,
        )


cdef int activate_curved(
    const Step *step, const Execution *execution, Py_ssize_t l, const void *S, const void *tS,
    void *dZ, void *tdZ,
) noexcept nogil:
    cdef CurvedElements elements
    elements.activation, elements.is_double = activation_of(step), step.is_double
    elements.S, elements.tS, elements.dZ, elements.tdZ = S, tS, dZ, tdZ
    elements.count = elements.length = l * step.values[step.output].size
    if execution.shared:
        elements.length = piece_length(elements.count, 1, PIECE_ELEMENTS)
    return run_pieces(
        execution, curved_piece, &elements, piece_count(elements.count, elements.length)
    )


# Steps --------------------------------------------------------------------------------------------


# The argument of `run_piece`.
cdef struct Phase:
    const Step *step
    const Call *call
    Pass run
    char *extra                 # scratch of participants 1, 2, ...
    Py_ssize_t scratch_size     # bytes of each


cdef void run_piece(void *argument, Py_ssize_t piece, int participant) noexcept nogil:
    cdef const Phase *phase = <const Phase *> argument
    cdef Call call = phase.call[0]
    call.piece = piece
    if participant > 0:
        call.scratch = phase.extra + (participant - 1) * phase.scratch_size
    phase.run(phase.step, &call)


# A copy of the step for `split` in a pass over l images.
cdef inline Step step_for(const Step *step, Py_ssize_t l) noexcept nogil:
    cdef Step own = step[0]
    own.images = l
    return own


# Whether a pass of a step has pieces. IN: step, from `step_for`.
cdef inline bint has_pieces(const Step *step, int direction) noexcept nogil:
    return step.operation.split != NULL and (
        step.operation.split(step, direction, 0) > 1
        or step.operation.split(step, direction, 1) > 0
    )


# The entry of a pass.
cdef inline Pass pass_of(const Step *step, int direction) noexcept nogil:
    if direction == TANGENT:
        return step.operation.tangent
    if direction == TANGENT_BACKWARD:
        return step.operation.tangent_backward
    return step.operation.forward if direction == FORWARD else step.operation.backward


cdef int run_step(
    const Step *step, int direction, const Execution *execution, const Places *places, Call *call
) noexcept nogil:
    cdef Step own
    cdef Phase phase
    cdef Py_ssize_t pieces
    cdef int status = OK
    phase.run = pass_of(step, direction)
    if direction == TANGENT:
        call.shared = <char *> call.scratch + places.scratch_size
    if execution.shared and call.images > 0:
        own = step_for(step, call.images)
        if has_pieces(&own, direction):
            phase.step, phase.call = &own, call
            phase.extra, phase.scratch_size = <char *> execution.extra, places.scratch_size
            call.shared = <char *> call.scratch + places.scratch_size
            call.phase = 0
            pieces = step.operation.split(&own, direction, 0)
            while pieces > 0 and status == OK:
                status = run_pieces(execution, run_piece, &phase, pieces)
                call.phase += 1
                pieces = step.operation.split(&own, direction, call.phase)
            return status
    phase.run(step, call)
    return OK


cdef bint program_has_pieces(const Program *p, Py_ssize_t l, bint backward) noexcept nogil:
    cdef Step step
    cdef Py_ssize_t k
    if l == 0:
        return False
    for k in range(p.n_steps):
        step = step_for(&p.steps[k], l)
        if has_pieces(&step, FORWARD) or (backward and has_pieces(&step, BACKWARD)):
            return True
        if activates(&step) and elements_for(&step, l, NULL, NULL, NULL).length < (
            l * p.values[step.output].size
        ):
            return True
    return False
