"""The passes of a program over images."""

from libc.string cimport memset

from ._operation cimport BACKWARD, Call, FORWARD, MAX_ARRAYS, Step
from ._program cimport Places, Program, Tables, tables_of, tables_size
from ._steps cimport activate, activates, at_item, begin_call, run_step
from ._status cimport INTERRUPTED, OK
from ._team cimport watch_stopped


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
    Py_ssize_t l, const void *Z, void *state, void *block,
) noexcept nogil:
    cdef Tables tables = tables_of(p, state)
    cdef void *scratch = <char *> block + p.training.scratch
    cdef void *saved
    cdef void *kept
    cdef Py_ssize_t k
    cdef int status
    tables.values[0] = Z
    for k in range(p.n_steps):
        if watch_stopped(execution.watch, execution.is_caller):
            return INTERRUPTED
        tables.values[k + 1] = <char *> state + p.training.value[k + 1]
        saved = NULL
        if p.steps[k].sizes.saved:
            saved = <char *> state + p.training.saved[k]
        kept = NULL
        if p.training.kept[k] >= 0:
            kept = <char *> state + p.training.kept[k]
        status = run_forward(
            p, k, execution, &p.training, theta, prepared, l, &tables, saved, kept, scratch
        )
        if status != OK:
            return status
    return OK


cdef void *program_target(const Program *p, void *state) noexcept nogil:
    return <char *> state + p.training.value[p.target]


cdef void *program_target_gradient(const Program *p, void *block) noexcept nogil:
    return <char *> block + p.training.gradient[p.target]


# Backward -----------------------------------------------------------------------------------------


# The backward pass of step k. INOUT: block. OUT: the elements of dtheta of this step. Returns OK or
# INTERRUPTED.
cdef int run_backward(
    const Program *p, Py_ssize_t k, const Execution *execution, const void *theta,
    const void *prepared, Py_ssize_t l, void *state, void *block, bint add, void *dtheta,
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef Tables tables = tables_of(p, block)
    cdef const void **values = tables_of(p, state).values
    cdef const void *arrays[MAX_ARRAYS]
    cdef void *d_arrays[MAX_ARRAYS]
    cdef Call call
    cdef Py_ssize_t at
    cdef int i, status = OK
    begin_call(
        p, k, theta, prepared, l, <char *> block + p.training.scratch, &call, arrays
    )
    for i in range(step.n_inputs):
        tables.inputs[i] = values[step.inputs[i]]
        at = p.training.gradient[step.inputs[i]]
        tables.d_inputs[i] = NULL if at < 0 else <char *> block + at
    for i in range(step.n_arrays):
        d_arrays[i] = at_item(p, dtheta, step.array_at[i])
    call.inputs = tables.inputs
    call.output = <void *> values[k + 1]
    if p.training.kept[k] >= 0:
        call.output = <char *> state + p.training.kept[k]
    call.saved = <char *> state + p.training.saved[k]
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
    Py_ssize_t l, void *state, void *block, bint add, void *dtheta,
) noexcept nogil:
    cdef Py_ssize_t k
    cdef int status
    for k in range(p.n_steps - 1, -1, -1):
        if p.reached[k + 1] and p.wanted[k + 1]:
            if watch_stopped(execution.watch, execution.is_caller):
                return INTERRUPTED
            status = run_backward(
                p, k, execution, theta, prepared, l, state, block, add, dtheta
            )
            if status != OK:
                return status
    if not add:
        program_clear_unreached(p, dtheta)
    return OK


cdef void program_clear_unreached(const Program *p, void *dtheta) noexcept nogil:
    cdef const Step *step
    cdef Py_ssize_t k
    cdef int i
    for k in range(p.n_steps):
        step = &p.steps[k]
        if step.owner == k and not p.array_reached[k]:
            for i in range(step.n_arrays):
                memset(
                    at_item(p, dtheta, step.array_at[i]), 0, step.array_size[i] * p.item_size
                )
