"""The tangent pass of a program over images."""

from libc.string cimport memset

from ._operation cimport Call, MAX_ARRAYS, Step, TANGENT
from ._passes cimport Execution
from ._program cimport Program, Tables, tables_of
from ._steps cimport activate, activates, at_item, begin_call, run_step
from ._status cimport INTERRUPTED, OK
from ._team cimport watch_stopped


# Whether R{value} is computed: the target depends on the value, and the value on parameters.
cdef inline bint has_tangent(const Program *p, Py_ssize_t value) noexcept nogil:
    return p.reached[value] and p.wanted[value]


cdef Py_ssize_t program_without_tangent(const Program *p) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(p.n_steps):
        if has_tangent(p, k + 1) and p.steps[k].operation.tangent == NULL:
            return k
    return -1


cdef void *program_target_tangent(const Program *p, void *t_block) noexcept nogil:
    return <char *> t_block + p.tangent.value[p.target]


# The tangent pass of step k. IN: block. OUT: R{value} of the step in t_block. Returns OK or
# INTERRUPTED.
cdef int run_tangent(
    const Program *p, Py_ssize_t k, const Execution *execution, const void *theta,
    const void *prepared, const void *v, const void *t_prepared, Py_ssize_t l, void *block,
    void *t_block,
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef Tables tables = tables_of(p, block)
    cdef const void **t_inputs = <const void **> t_block
    cdef const void *arrays[MAX_ARRAYS]
    cdef const void *t_arrays[MAX_ARRAYS]
    cdef Call call
    cdef int i, status
    begin_call(
        p, k, theta, prepared, l, <char *> t_block + p.tangent.scratch, &call, arrays
    )
    for i in range(step.n_inputs):
        tables.inputs[i] = tables.values[step.inputs[i]]
        t_inputs[i] = NULL
        if has_tangent(p, step.inputs[i]):
            t_inputs[i] = <char *> t_block + p.tangent.value[step.inputs[i]]
    for i in range(step.n_arrays):
        t_arrays[i] = at_item(p, v, step.array_at[i])
    call.inputs = tables.inputs
    call.output = <void *> tables.values[k + 1]
    if p.training.kept[k] >= 0:
        call.output = <char *> block + p.training.kept[k]
    call.saved = <char *> block + p.training.saved[k]
    call.masks = execution.masks
    call.t_inputs = t_inputs
    call.t_arrays = t_arrays
    call.t_prepared = at_item(p, t_prepared, p.prepared[k])
    call.t_output = <char *> t_block + p.tangent.value[k + 1]
    status = run_step(step, TANGENT, execution, &p.tangent, &call)
    if status == OK and activates(step):
        status = activate(step, execution, l, call.output, NULL, call.t_output)
    return status


cdef int program_tangent(
    const Program *p, const Execution *execution, const void *theta, const void *prepared,
    const void *v, const void *t_prepared, Py_ssize_t l, void *block, void *t_block,
) noexcept nogil:
    cdef Py_ssize_t k
    cdef int status
    if not has_tangent(p, p.target):
        memset(
            program_target_tangent(p, t_block), 0, l * p.values[p.target].size * p.item_size
        )
    for k in range(p.n_steps):
        if not has_tangent(p, k + 1):
            continue
        if watch_stopped(execution.watch, execution.is_caller):
            return INTERRUPTED
        status = run_tangent(
            p, k, execution, theta, prepared, v, t_prepared, l, block, t_block
        )
        if status != OK:
            return status
    return OK
