"""The passes of a program over images."""

from libc.string cimport memset

from ._activation cimport ACTIVATION_NONE, Activation
from ._operation cimport (
    BACKWARD, FORWARD, PIECE_ELEMENTS, WHOLE, Call, MAX_ARRAYS, Pass, Step, piece_count,
    piece_length,
)
from ._program cimport Places, Program, Tables, tables_of, tables_size
from ._team cimport Piece, team_run, watch_stopped
from ._bias_relu cimport apply_activation, apply_activation_backward
from ._status cimport INTERRUPTED, OK
from ._types cimport real


# The address of element `count`.
cdef inline char *at_item(const Program *p, const void *start, Py_ssize_t count) noexcept nogil:
    return <char *> start + count * p.item_size


# Set the members of a call that do not depend on the pass. OUT: call, arrays.
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


cdef void program_prepare_step(
    const Program *p, Py_ssize_t k, const void **arrays, void *prepared, void *scratch
) noexcept nogil:
    cdef Call call
    memset(&call, 0, sizeof(Call))
    call.arrays = arrays
    call.images = 1
    call.prepared = prepared
    call.scratch = scratch
    p.steps[k].operation.prepare(&p.steps[k], &call, False)


cdef void program_prepare(
    const Program *p, const void *theta, void *prepared, bint backward
) noexcept nogil:
    cdef const void *arrays[MAX_ARRAYS]
    cdef void *scratch = at_item(p, prepared, p.preparing)
    cdef Py_ssize_t k
    cdef Call call
    for k in range(p.n_steps):
        if p.steps[k].operation.prepare == NULL:
            continue
        begin_call(p, k, theta, prepared, 1, scratch, &call, arrays)
        if p.prepared_by[k] == k:
            p.steps[k].operation.prepare(&p.steps[k], &call, False)
        if backward and call.prepared_backward != NULL:
            p.steps[k].operation.prepare(&p.steps[k], &call, True)


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


# Whether the program applies the activation, since the operation does not.
cdef inline bint activates(const Step *step) noexcept nogil:
    return step.applied.code != ACTIVATION_NONE


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


# The pass of a step, as a whole or phase by phase. Returns OK or INTERRUPTED.
cdef int run_step(
    const Step *step, int direction, const Execution *execution, const Places *places, Call *call
) noexcept nogil:
    cdef Step own
    cdef Phase phase
    cdef Py_ssize_t pieces
    cdef int status = OK
    phase.run = step.operation.forward if direction == FORWARD else step.operation.backward
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


# Forward ------------------------------------------------------------------------------------------


# The forward pass of step k. IN: tables.values, addresses of values. OUT: the value of the step;
# saved; kept, the input of its activation, unless NULL. Returns OK or INTERRUPTED.
cdef int run_forward(
    const Program *p, Py_ssize_t k, const Execution *execution, const Places *places,
    const void *theta, const void *prepared, Py_ssize_t l, const Tables *tables, void *saved,
    void *kept, void *scratch,
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef const void *arrays[MAX_ARRAYS]
    cdef void *output = <void *> tables.values[k + 1]
    cdef Call call
    cdef int i, status
    begin_call(p, k, theta, prepared, l, scratch, &call, arrays)
    for i in range(step.n_inputs):
        tables.inputs[i] = tables.values[step.inputs[i]]
    call.inputs = tables.inputs
    call.output = output if kept == NULL else kept
    call.saved = saved
    call.masks = execution.masks
    status = run_step(step, FORWARD, execution, places, &call)
    if status == OK and activates(step):
        status = activate(step, execution, l, call.output, output, NULL)
    return status


cdef int program_predict(
    const Program *p, const Execution *execution, const void *theta, const void *prepared,
    Py_ssize_t l, const void *Z, void **outputs, void *block,
) noexcept nogil:
    cdef Tables tables = tables_of(p, block)
    cdef char *values = <char *> block + tables_size(p)
    cdef void *scratch = values + l * p.inference.values
    cdef Py_ssize_t k
    cdef int status = OK
    tables.values[0] = Z
    for k in range(1, p.n_steps + 1):
        if p.inference.value[k] >= 0:
            tables.values[k] = values + l * p.inference.value[k]
    for k in range(p.n_outputs):
        tables.values[p.outputs[k]] = outputs[k]
    for k in range(p.n_steps):
        if watch_stopped(execution.watch, execution.is_caller):
            return INTERRUPTED
        status = run_forward(
            p, k, execution, &p.inference, theta, prepared, l, &tables, NULL, NULL, scratch
        )
        if status != OK:
            return status
    return OK


cdef int program_forward(
    const Program *p, const Execution *execution, const void *theta, const void *prepared,
    Py_ssize_t l, const void *Z, void *block,
) noexcept nogil:
    cdef Tables tables = tables_of(p, block)
    cdef void *scratch = <char *> block + p.training.scratch
    cdef void *saved
    cdef void *kept
    cdef Py_ssize_t k
    cdef int status
    tables.values[0] = Z
    for k in range(p.n_steps):
        if watch_stopped(execution.watch, execution.is_caller):
            return INTERRUPTED
        tables.values[k + 1] = <char *> block + p.training.value[k + 1]
        saved = NULL
        if p.steps[k].sizes.saved:
            saved = <char *> block + p.training.saved[k]
        kept = NULL
        if p.training.kept[k] >= 0:
            kept = <char *> block + p.training.kept[k]
        status = run_forward(
            p, k, execution, &p.training, theta, prepared, l, &tables, saved, kept, scratch
        )
        if status != OK:
            return status
    return OK


cdef void *program_target(const Program *p, void *block) noexcept nogil:
    return <char *> block + p.training.value[p.target]


cdef void *program_target_gradient(const Program *p, void *block) noexcept nogil:
    return <char *> block + p.training.gradient[p.target]


# Backward -----------------------------------------------------------------------------------------


# The backward pass of step k. INOUT: block. OUT: the elements of dtheta of this step. Returns OK or
# INTERRUPTED.
cdef int run_backward(
    const Program *p, Py_ssize_t k, const Execution *execution, const void *theta,
    const void *prepared, Py_ssize_t l, void *block, bint add, void *dtheta,
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef Tables tables = tables_of(p, block)
    cdef const void *arrays[MAX_ARRAYS]
    cdef void *d_arrays[MAX_ARRAYS]
    cdef Call call
    cdef Py_ssize_t at
    cdef int i, status = OK
    begin_call(
        p, k, theta, prepared, l, <char *> block + p.training.scratch, &call, arrays
    )
    for i in range(step.n_inputs):
        tables.inputs[i] = tables.values[step.inputs[i]]
        at = p.training.gradient[step.inputs[i]]
        tables.d_inputs[i] = NULL if at < 0 else <char *> block + at
    for i in range(step.n_arrays):
        d_arrays[i] = at_item(p, dtheta, step.array_at[i])
    call.inputs = tables.inputs
    call.output = <void *> tables.values[k + 1]
    if p.training.kept[k] >= 0:
        call.output = <char *> block + p.training.kept[k]
    call.saved = <char *> block + p.training.saved[k]
    call.d_output = <char *> block + p.training.gradient[k + 1]
    call.d_inputs = tables.d_inputs
    call.add_input = p.add_input[k]
    call.d_arrays = d_arrays
    call.masks = execution.masks
    call.add_arrays = add or p.add_arrays[k]
    if activates(step):
        status = activate(step, execution, l, call.output, NULL, call.d_output)
    if status == OK:
        status = run_step(step, BACKWARD, execution, &p.training, &call)
    return status


cdef int program_backward(
    const Program *p, const Execution *execution, const void *theta, const void *prepared,
    Py_ssize_t l, const void *Z, void *block, bint add, void *dtheta,
) noexcept nogil:
    cdef const Step *step
    cdef Py_ssize_t k
    cdef int i, status
    for k in range(p.n_steps - 1, -1, -1):
        step = &p.steps[k]
        if p.reached[k + 1] and p.wanted[k + 1]:
            if watch_stopped(execution.watch, execution.is_caller):
                return INTERRUPTED
            status = run_backward(p, k, execution, theta, prepared, l, block, add, dtheta)
            if status != OK:
                return status
        if step.owner == k and not p.array_reached[k] and not add:
            for i in range(step.n_arrays):
                memset(
                    at_item(p, dtheta, step.array_at[i]), 0, step.array_size[i] * p.item_size
                )
    return OK
