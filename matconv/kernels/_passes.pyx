"""The passes of a program over images."""

from libc.string cimport memset

from ._activation cimport ACTIVATION_NONE
from ._operation cimport Call, MAX_ARRAYS, Step, WHOLE
from ._program cimport Program, Tables, tables_of, tables_size
from .bias_relu cimport activation_backward_rows, bias_activation_rows


cdef inline char *at_item(const Program *p, const void *start, Py_ssize_t count) noexcept nogil:
    return <char *> start + count * p.item_size


# Whether the program applies the activation, because the operation does not.
cdef inline bint activates(const Step *step) noexcept nogil:
    return not step.operation.fused and step.activation.code != ACTIVATION_NONE


cdef void activate_output(const Step *step, Py_ssize_t l, void *output) noexcept nogil:
    cdef Py_ssize_t n = l * step.values[step.output].size
    if step.is_double:
        bias_activation_rows(
            1, n, <const double *> output, <const double *> NULL, &step.activation,
            <double *> output,
        )
    else:
        bias_activation_rows(
            1, n, <const float *> output, <const float *> NULL, &step.activation,
            <float *> output,
        )


cdef void activate_gradient(
    const Step *step, Py_ssize_t l, const void *output, void *d_output
) noexcept nogil:
    cdef Py_ssize_t n = l * step.values[step.output].size
    if step.is_double:
        activation_backward_rows(
            1, n, <const double *> d_output, <const double *> output, &step.activation,
            <double *> d_output, <double *> NULL,
        )
    else:
        activation_backward_rows(
            1, n, <const float *> d_output, <const float *> output, &step.activation,
            <float *> d_output, <float *> NULL,
        )


# The parts of a call that do not depend on the pass. OUT: call, arrays.
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


# Where the values lie: Z, and of the others value(v) what `values` says.
cdef void run_forward(
    const Program *p, Py_ssize_t k, const void *theta, const void *prepared, Py_ssize_t l,
    const void **values, void *saved, void *scratch, const void **inputs,
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef const void *arrays[MAX_ARRAYS]
    cdef Call call
    cdef int i
    begin_call(p, k, theta, prepared, l, scratch, &call, arrays)
    for i in range(step.n_inputs):
        inputs[i] = values[step.inputs[i]]
    call.inputs = inputs
    call.output = <void *> values[k + 1]
    call.saved = saved
    step.operation.forward(step, &call)
    if activates(step):
        activate_output(step, l, call.output)


cdef void program_predict(
    const Program *p, const void *theta, const void *prepared, Py_ssize_t l, const void *Z,
    void **outputs, void *block,
) noexcept nogil:
    cdef Tables tables = tables_of(p, block)
    cdef char *values = <char *> block + tables_size(p)
    cdef void *scratch = values + l * p.inference.values
    cdef Py_ssize_t k
    tables.values[0] = Z
    for k in range(1, p.n_steps + 1):
        if p.inference.value[k] >= 0:
            tables.values[k] = values + l * p.inference.value[k]
    for k in range(p.n_outputs):
        tables.values[p.outputs[k]] = outputs[k]
    for k in range(p.n_steps):
        run_forward(p, k, theta, prepared, l, tables.values, NULL, scratch, tables.inputs)


cdef void *program_forward(
    const Program *p, const void *theta, const void *prepared, Py_ssize_t l, const void *Z,
    void *block,
) noexcept nogil:
    cdef Tables tables = tables_of(p, block)
    cdef void *scratch = <char *> block + p.training.scratch
    cdef void *saved
    cdef Py_ssize_t k
    tables.values[0] = Z
    for k in range(p.n_steps):
        tables.values[k + 1] = <char *> block + p.training.value[k + 1]
        saved = NULL
        if p.steps[k].sizes.saved:
            saved = <char *> block + p.training.saved[k]
        run_forward(p, k, theta, prepared, l, tables.values, saved, scratch, tables.inputs)
    return <void *> tables.values[p.target]


cdef void *program_target_gradient(const Program *p, void *block) noexcept nogil:
    return <char *> block + p.training.gradient[p.target]


# The backward pass of one step. INOUT: block. OUT: dtheta's parts of the step.
cdef void run_backward(
    const Program *p, Py_ssize_t k, const void *theta, const void *prepared, Py_ssize_t l,
    void *block, bint add, void *dtheta,
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef Tables tables = tables_of(p, block)
    cdef const void *arrays[MAX_ARRAYS]
    cdef void *d_arrays[MAX_ARRAYS]
    cdef Call call
    cdef Py_ssize_t at
    cdef int i
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
    call.saved = <char *> block + p.training.saved[k]
    call.d_output = <char *> block + p.training.gradient[k + 1]
    call.d_inputs = tables.d_inputs
    call.add_input = p.add_input[k]
    call.d_arrays = d_arrays
    call.add_arrays = add or p.add_arrays[k]
    if activates(step):
        activate_gradient(step, l, call.output, call.d_output)
    step.operation.backward(step, &call)


cdef void program_backward(
    const Program *p, const void *theta, const void *prepared, Py_ssize_t l, const void *Z,
    void *block, bint add, void *dtheta,
) noexcept nogil:
    cdef const Step *step
    cdef Py_ssize_t k
    cdef int i
    for k in range(p.n_steps - 1, -1, -1):
        step = &p.steps[k]
        if p.reached[k + 1] and p.wanted[k + 1]:
            run_backward(p, k, theta, prepared, l, block, add, dtheta)
        if step.owner == k and not p.array_reached[k] and not add:
            for i in range(step.n_arrays):
                memset(
                    at_item(p, dtheta, step.array_at[i]), 0, step.array_size[i] * p.item_size
                )
