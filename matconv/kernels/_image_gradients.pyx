"""Gradients of single images."""

from libc.string cimport memcpy

from ._activation cimport ACTIVATION_NONE, activation_needs_input
from ._operation cimport BACKWARD, Call, MAX_ARRAYS, Step, activation_of
from ._passes cimport Execution, program_clear_unreached
from ._program cimport Program, tables_of
from ._steps cimport activate, at_item, begin_call, run_step
from ._status cimport INTERRUPTED, OK
from ._team cimport watch_stopped
from .sums cimport square, sum_of_squares


# What a pass over l images reads and writes.
cdef struct Images:
    const void *theta
    const void *prepared
    Py_ssize_t l
    void *state
    void *block
    void *gradients


# Whether the target depends on the parameters of step k through this step.
cdef inline bint has_gradient(const Program *p, Py_ssize_t k) noexcept nogil:
    return p.reached[k + 1] and p.steps[k].n_arrays > 0


# Whether every output of step k depends on every input by a weight of its own, so that the gradient
# for W of an image is the outer product of dS and Z, and whether no other step contributes to it.
cdef bint is_outer(const Program *p, Py_ssize_t k) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef Py_ssize_t n, j
    if not has_gradient(p, k) or step.n_inputs != 1:
        return False
    n = p.values[step.inputs[0]].size
    if step.fan_in != n or step.array_size[0] != n * p.values[k + 1].size:
        return False
    for j in range(p.n_steps):
        if j != k and p.steps[j].owner == step.owner and has_gradient(p, j):
            return False
    return True


cdef Py_ssize_t program_image_scratch(const Program *p) noexcept nogil:
    cdef Py_ssize_t k, size = 0
    for k in range(p.n_steps):
        if is_outer(p, k):
            size = max(size, p.values[p.steps[k].inputs[0]].size)
    return size * p.training.images


# The call of the backward pass of step k for `images` images from image `first` on, without
# gradients of inputs and arrays. IN: at. OUT: call, arrays, d_arrays.
cdef void begin_images(
    const Program *p, Py_ssize_t k, const Execution *execution, const Images *at,
    Py_ssize_t first, Py_ssize_t images, Call *call, const void **arrays, void **d_arrays,
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef const void **values = tables_of(p, at.state).values
    cdef Py_ssize_t at_output = first * p.values[k + 1].size
    cdef int i
    begin_call(
        p, k, at.theta, at.prepared, images, <char *> at.block + p.training.scratch, call, arrays
    )
    call.inputs = tables_of(p, at.block).inputs
    call.d_inputs = tables_of(p, at.block).d_inputs
    for i in range(step.n_inputs):
        call.inputs[i] = at_item(
            p, values[step.inputs[i]], first * p.values[step.inputs[i]].size
        )
        call.d_inputs[i] = NULL
    for i in range(step.n_arrays):
        d_arrays[i] = NULL
    call.d_arrays = d_arrays
    call.add_input = p.add_input[k]
    call.output = at_item(p, values[k + 1], at_output)
    if p.training.kept[k] >= 0:
        call.output = at_item(p, <char *> at.state + p.training.kept[k], at_output)
    call.saved = <char *> at.state + p.training.saved[k] + first * step.sizes.saved
    call.masks = execution.masks
    call.d_output = at_item(p, <char *> at.gradients + p.hessian.value[k + 1], at_output)


# A step without its activation, which the program applies.
cdef inline Step bare(const Program *p, Py_ssize_t k) noexcept nogil:
    cdef Step step = p.steps[k]
    step.applied = activation_of(&step)
    step.activation.code = ACTIVATION_NONE
    return step


# The gradients of the inputs of step k for all images, and dS in at.gradients if it has parameters.
# INOUT: at.block. Returns OK or INTERRUPTED.
cdef int run_images(
    const Program *p, Py_ssize_t k, const Execution *execution, const Images *at
) noexcept nogil:
    cdef Step step = bare(p, k)
    cdef Py_ssize_t place
    cdef const void *arrays[MAX_ARRAYS]
    cdef void *d_arrays[MAX_ARRAYS]
    cdef const void *S
    cdef Call call
    cdef bint wanted = False
    cdef int i, status = OK
    begin_images(p, k, execution, at, 0, at.l, &call, arrays, d_arrays)
    for i in range(step.n_inputs):
        place = p.training.gradient[step.inputs[i]]
        if place >= 0:
            call.d_inputs[i] = <char *> at.block + place
            wanted = True
    S = call.output
    if activation_needs_input(step.applied.code) and p.training.kept[k] < 0:
        # of an operation that has S as its input
        S = call.inputs[0]
    call.d_output = <char *> at.block + p.training.gradient[k + 1]
    if step.applied.code != ACTIVATION_NONE:
        status = activate(&step, execution, at.l, S, NULL, call.d_output)
    if status == OK and step.n_arrays > 0:
        memcpy(
            <char *> at.gradients + p.hessian.value[k + 1], call.d_output,
            at.l * p.values[k + 1].size * p.item_size,
        )
    if status == OK and wanted:
        status = run_step(&step, BACKWARD, execution, &p.training, &call)
    return status


# The gradient for theta of one image, without outer products if outer is not set. OUT: row. Returns
# OK or INTERRUPTED.
cdef int run_image(
    const Program *p, const Execution *execution, const Images *at, Py_ssize_t image, bint outer,
    void *row,
) noexcept nogil:
    cdef const void *arrays[MAX_ARRAYS]
    cdef void *d_arrays[MAX_ARRAYS]
    cdef Step step
    cdef Call call
    cdef Py_ssize_t k
    cdef int i, status
    for k in range(p.n_steps - 1, -1, -1):
        if not has_gradient(p, k) or (not outer and is_outer(p, k)):
            continue
        step = bare(p, k)
        begin_images(p, k, execution, at, image, 1, &call, arrays, d_arrays)
        for i in range(step.n_arrays):
            d_arrays[i] = at_item(p, row, step.array_at[i])
        call.add_arrays = p.add_arrays[k]
        status = run_step(&step, BACKWARD, execution, &p.training, &call)
        if status != OK:
            return status
    return OK


cdef double squares_of(const Program *p, Py_ssize_t n, const void *x) noexcept nogil:
    if p.item_size == 8:
        return sum_of_squares(n, <const double *> x)
    return sum_of_squares(n, <const float *> x)


# y(n) = x^2, or += if add.
cdef void squared(
    const Program *p, Py_ssize_t n, const void *x, bint add, void *y
) noexcept nogil:
    if p.item_size == 8:
        square(n, <const double *> x, add, <double *> y)
    else:
        square(n, <const float *> x, add, <float *> y)


# results.squares and results.total of a row, of all steps but those with outer products.
cdef void reduce_row(
    const Program *p, const ImageResults *results, Py_ssize_t image
) noexcept nogil:
    cdef const Step *step
    cdef const void *x
    cdef Py_ssize_t k
    cdef int i
    for k in range(p.n_steps):
        step = &p.steps[k]
        # the last contribution, from the first step, is complete
        if not has_gradient(p, k) or is_outer(p, k) or not is_first(p, k):
            continue
        for i in range(step.n_arrays):
            x = at_item(p, results.row, step.array_at[i])
            if results.squares != NULL:
                results.squares[image] += squares_of(p, step.array_size[i], x)
            if results.total != NULL:
                squared(
                    p, step.array_size[i], x, True, at_item(p, results.total, step.array_at[i])
                )


# Whether step k is the first of those that contribute to the gradients of its parameters.
cdef bint is_first(const Program *p, Py_ssize_t k) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(k):
        if p.steps[j].owner == p.steps[k].owner and has_gradient(p, j):
            return False
    return True


# ||dS z'||^2 + ||dS||^2 = ||dS||^2 (||z||^2 + 1) for each image, with a bias.
cdef void outer_squares(
    const Program *p, Py_ssize_t k, const Images *at, double *squares
) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef Py_ssize_t n = p.values[step.inputs[0]].size, d = p.values[k + 1].size, image
    cdef const void *Z = tables_of(p, at.state).values[step.inputs[0]]
    cdef const void *dS = <char *> at.gradients + p.hessian.value[k + 1]
    cdef double size
    for image in range(at.l):
        size = squares_of(p, n, at_item(p, Z, image * n))
        if step.n_arrays > 1:
            size += 1
        squares[image] += size * squares_of(p, d, at_item(p, dS, image * d))


# sum_i dS_i^2 (z_i^2)', element by element: the backward pass from the squares. INOUT:
# at.gradients, results.total. Returns OK or INTERRUPTED.
cdef int outer_total(
    const Program *p, Py_ssize_t k, const Execution *execution, const Images *at,
    const ImageResults *results,
) noexcept nogil:
    cdef Step step = bare(p, k)
    cdef Py_ssize_t n = at.l * p.values[step.inputs[0]].size, d = at.l * p.values[k + 1].size
    cdef const void *arrays[MAX_ARRAYS]
    cdef void *d_arrays[MAX_ARRAYS]
    cdef Call call
    cdef int i
    begin_images(p, k, execution, at, 0, at.l, &call, arrays, d_arrays)
    squared(p, n, call.inputs[0], False, results.inputs)
    squared(p, d, call.d_output, False, call.d_output)
    call.inputs[0] = results.inputs
    for i in range(step.n_arrays):
        d_arrays[i] = at_item(p, results.total, step.array_at[i])
    call.add_arrays = True
    return run_step(&step, BACKWARD, execution, &p.training, &call)


cdef int program_image_gradients(
    const Program *p, const Execution *execution, const void *theta, const void *prepared,
    Py_ssize_t l, void *state, void *block, void *gradients, const ImageResults *results,
) noexcept nogil:
    cdef Images at
    cdef Py_ssize_t k, image
    cdef void *row = results.row
    cdef int status = OK
    at.theta, at.prepared, at.l = theta, prepared, l
    at.state, at.block, at.gradients = state, block, gradients
    for k in range(p.n_steps - 1, -1, -1):
        if not (p.reached[k + 1] and p.wanted[k + 1]):
            continue
        if watch_stopped(execution.watch, execution.is_caller):
            return INTERRUPTED
        status = run_images(p, k, execution, &at)
        if status != OK:
            return status
    for image in range(l):
        if watch_stopped(execution.watch, execution.is_caller):
            return INTERRUPTED
        if results.rows != NULL:
            row = at_item(p, results.rows, image * p.n)
            program_clear_unreached(p, row)
        status = run_image(p, execution, &at, image, results.rows != NULL, row)
        if status != OK:
            return status
        if results.rows == NULL:
            if results.squares != NULL:
                results.squares[image] = 0
            reduce_row(p, results, image)
    if results.rows != NULL:
        return OK
    for k in range(p.n_steps):
        if is_outer(p, k) and results.squares != NULL:
            outer_squares(p, k, &at, results.squares)
        if status == OK and is_outer(p, k) and results.total != NULL:
            status = outer_total(p, k, execution, &at, results)
    return status
