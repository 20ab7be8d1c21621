"""Passes of a program along a direction."""

from libc.string cimport memcpy, memset

from ._activation cimport ACTIVATION_NONE, Activation, activation_needs_input
from ._operation cimport (
    BACKWARD, Call, MAX_ARRAYS, Step, TANGENT, TANGENT_BACKWARD, activation_of,
)
from ._passes cimport Execution, program_clear_unreached
from ._program cimport Places, Program, tables_of
from ._steps cimport activate, activate_curved, activates, at_item, begin_call, run_step
from ._status cimport INTERRUPTED, OK
from ._team cimport watch_stopped


# Whether R{value} is computed: the target depends on the value, and the value on parameters.
cdef inline bint has_tangent(const Program *p, Py_ssize_t value) noexcept nogil:
    return p.reached[value] and p.wanted[value]


cdef Py_ssize_t program_without_tangent(const Program *p, bint backward) noexcept nogil:
    cdef Py_ssize_t k
    cdef bint has
    for k in range(p.n_steps):
        has = p.steps[k].operation.tangent != NULL
        if backward:
            has = p.steps[k].operation.flat or p.steps[k].operation.tangent_backward != NULL
        if has_tangent(p, k + 1) and not has:
            return k
    return -1


# The layout of t_block.
cdef inline const Places *places_of(const Program *p, bint hessian) noexcept nogil:
    return &p.hessian if hessian else &p.tangent


cdef void *program_target_tangent(const Program *p, void *t_block, bint hessian) noexcept nogil:
    return <char *> t_block + places_of(p, hessian).value[p.target]


cdef void *program_target_curved(const Program *p, void *t_block) noexcept nogil:
    return <char *> t_block + p.hessian.gradient[p.target]


# The arrays of pointers of a call.
cdef struct Arrays:
    const void *arrays[MAX_ARRAYS]
    const void *t_arrays[MAX_ARRAYS]
    void *d_arrays[MAX_ARRAYS]


# The call of a pass of step k, except its results. IN: at. OUT: call, own.
cdef void begin_tangent(
    const Program *p, Py_ssize_t k, const Execution *execution, const Linear *at,
    const Places *places, Call *call, Arrays *own,
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef const void **values = tables_of(p, at.state).values
    cdef const void **t_inputs = <const void **> at.t_block
    cdef int i
    begin_call(
        p, k, at.theta, at.prepared, at.l, <char *> at.t_block + places.scratch, call, own.arrays
    )
    call.inputs, call.t_inputs = tables_of(p, at.block).inputs, t_inputs
    for i in range(step.n_inputs):
        call.inputs[i] = values[step.inputs[i]]
        t_inputs[i] = NULL
        if has_tangent(p, step.inputs[i]):
            t_inputs[i] = <char *> at.t_block + places.value[step.inputs[i]]
    for i in range(step.n_arrays):
        own.t_arrays[i] = at_item(p, at.v, step.array_at[i])
    call.t_arrays, call.d_arrays = own.t_arrays, own.d_arrays
    call.output = <void *> values[k + 1]
    if p.training.kept[k] >= 0:
        call.output = <char *> at.state + p.training.kept[k]
    call.saved = <char *> at.state + p.training.saved[k]
    call.masks = execution.masks
    call.t_prepared = at_item(p, at.t_prepared, p.prepared[k])
    if p.prepared_backward[k] >= 0:
        call.t_prepared_backward = at_item(p, at.t_prepared, p.prepared_backward[k])
    call.t_output = <char *> at.t_block + places.value[k + 1]


# The tangent pass of step k. OUT: R{value} of the step in t_block; for Hessians also R{S} where its
# activation needs its input S. Returns OK or INTERRUPTED.
cdef int run_tangent(
    const Program *p, Py_ssize_t k, const Execution *execution, const Linear *at, bint hessian
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef const Places *places = places_of(p, hessian)
    cdef Py_ssize_t nbytes = at.l * p.values[k + 1].size * p.item_size
    cdef Arrays own
    cdef Call call
    cdef int status
    begin_tangent(p, k, execution, at, places, &call, &own)
    status = run_step(step, TANGENT, execution, places, &call)
    if status == OK and hessian and p.hessian.kept[k] >= 0:
        memcpy(<char *> at.t_block + p.hessian.kept[k], call.t_output, nbytes)
    if status == OK and activates(step):
        status = activate(step, execution, at.l, call.output, NULL, call.t_output)
    return status


cdef int program_tangent(
    const Program *p, const Execution *execution, const Linear *at, bint hessian
) noexcept nogil:
    cdef void *target = program_target_tangent(p, at.t_block, hessian)
    cdef Py_ssize_t k
    cdef int status
    if not has_tangent(p, p.target):
        memset(target, 0, at.l * p.values[p.target].size * p.item_size)
    for k in range(p.n_steps):
        if not has_tangent(p, k + 1):
            continue
        if watch_stopped(execution.watch, execution.is_caller):
            return INTERRUPTED
        status = run_tangent(p, k, execution, at, hessian)
        if status != OK:
            return status
    return OK


# Backward -----------------------------------------------------------------------------------------


# dS and R{dS} from the gradient of a value and its derivative, in their place. INOUT: dZ, tdZ.
cdef int run_activation(
    const Program *p, Py_ssize_t k, const Execution *execution, const Linear *at, const Call *call,
    void *dZ, void *tdZ,
) noexcept nogil:
    cdef Activation activation = activation_of(&p.steps[k])
    cdef const void *S = call.output
    cdef const void *tS = call.t_output
    if activation.code == ACTIVATION_NONE:
        return OK
    if p.hessian.kept[k] >= 0:
        tS = <char *> at.t_block + p.hessian.kept[k]
    elif activation_needs_input(activation.code):
        # of an operation that has S as its input
        S, tS = call.inputs[0], call.t_inputs[0]
    return activate_curved(&p.steps[k], execution, at.l, S, tS, dZ, tdZ)


# The places of the gradients of the inputs of a step. OUT: d_inputs. Returns whether there are any.
cdef bint set_gradients(
    const Program *p, const Step *step, const Places *places, void *block, void **d_inputs
) noexcept nogil:
    cdef bint found = False
    cdef Py_ssize_t at
    cdef int i
    for i in range(step.n_inputs):
        at = places.gradient[step.inputs[i]]
        d_inputs[i] = NULL if at < 0 else <char *> block + at
        found = found or at >= 0
    return found


# The gradient of the value of step k, which is complete before the step: from at.gradients to the
# block if it is there, otherwise the other way round. INOUT: dZ, at.gradients.
cdef void exchange_gradient(
    const Program *p, Py_ssize_t k, const Linear *at, void *dZ
) noexcept nogil:
    cdef void *kept = <char *> at.gradients + p.hessian.value[k + 1]
    cdef Py_ssize_t nbytes = at.l * p.values[k + 1].size * p.item_size
    if at.has_gradients:
        memcpy(dZ, kept, nbytes)
    else:
        memcpy(kept, dZ, nbytes)


# R{d_inputs} and R{d_arrays} of step k, and then d_inputs unless they are known. With R{dS}, the
# derivative of the gradient before the activation, they are
#     `backward` of R{dS}, plus the derivative of `backward` of dS along R{inputs}, R{arrays}.
# INOUT: block, t_block, product. Returns OK or INTERRUPTED.
cdef int run_tangent_backward(
    const Program *p, Py_ssize_t k, const Execution *execution, const Linear *at, bint add,
    void *product,
) noexcept nogil:
    # without its activation
    cdef Step step = p.steps[k]
    cdef void *dZ = <char *> at.block + p.training.gradient[k + 1]
    cdef void *tdZ = <char *> at.t_block + p.hessian.gradient[k + 1]
    cdef void **d_inputs = tables_of(p, at.block).d_inputs
    cdef void **td_inputs = <void **> at.t_block + p.max_inputs
    cdef bint wanted = set_gradients(p, &step, &p.training, at.block, d_inputs)
    cdef bint computed = at.gradients == NULL or not at.has_gradients
    cdef Arrays own
    cdef Call call
    cdef int i, status
    step.activation.code = ACTIVATION_NONE
    begin_tangent(p, k, execution, at, &p.hessian, &call, &own)
    if at.gradients != NULL:
        exchange_gradient(p, k, at, dZ)
    set_gradients(p, &step, &p.hessian, at.t_block, td_inputs)
    for i in range(step.n_arrays):
        own.d_arrays[i] = at_item(p, product, step.array_at[i])
    call.d_inputs = td_inputs
    call.add_input = p.add_input[k]
    call.add_arrays = add or p.add_arrays[k]
    status = run_activation(p, k, execution, at, &call, dZ, tdZ)
    if status == OK:
        call.d_output = tdZ
        status = run_step(&step, BACKWARD, execution, &p.hessian, &call)
    call.d_output = dZ
    if status == OK and not step.operation.flat:
        status = run_step(&step, TANGENT_BACKWARD, execution, &p.hessian, &call)
    if status == OK and wanted and computed:
        for i in range(step.n_arrays):
            own.d_arrays[i] = NULL
        call.d_inputs = d_inputs
        status = run_step(&step, BACKWARD, execution, &p.hessian, &call)
    return status


cdef int program_tangent_backward(
    const Program *p, const Execution *execution, const Linear *at, bint add, void *product
) noexcept nogil:
    cdef Py_ssize_t k
    cdef int status
    for k in range(p.n_steps - 1, -1, -1):
        if not has_tangent(p, k + 1):
            continue
        if watch_stopped(execution.watch, execution.is_caller):
            return INTERRUPTED
        status = run_tangent_backward(p, k, execution, at, add, product)
        if status != OK:
            return status
    if not add:
        program_clear_unreached(p, product)
    return OK
