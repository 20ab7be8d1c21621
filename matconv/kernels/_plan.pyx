"""The plan of a program: which gradients are computed, and the layout of memory."""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.string cimport memset

from ._activation cimport activation_needs_input
from ._arrange cimport Buffer, arrange
from ._operation cimport Sizes, Step
from ._program cimport PY_SSIZE_T_MAX, Places, Program, grow, rounded, tables_size
from ._geometry cimport mul_overflows
from ._status cimport MEMORY, OK, OVERFLOW

cdef enum:
    # filters for the backward pass are prepared once for all shards if all prepared parameters take
    # at most this many bytes, or twice the bytes of theta
    MAX_PREPARED_BYTES = 1 << 26


# Which values depend on parameters, on which values the target depends, and which gradients are
# added to those of another step. OUT: p.wanted, reached, array_reached, add_input, add_arrays.
cdef void trace_gradients(Program *p) noexcept nogil:
    cdef Py_ssize_t k, i, u
    cdef const Step *step
    for k in range(p.n_steps):
        step = &p.steps[k]
        p.wanted[k + 1] = step.owner >= 0
        p.array_reached[k] = False
        for i in range(step.n_inputs):
            p.wanted[k + 1] = p.wanted[k + 1] or p.wanted[step.inputs[i]]
    memset(p.reached, 0, p.n_steps + 1)
    if p.target < 0:
        return
    p.reached[p.target] = True
    for k in range(p.n_steps - 1, -1, -1):
        step = &p.steps[k]
        if not p.reached[k + 1]:
            continue
        for i in range(step.n_inputs):
            u = step.inputs[i]
            # another reader of u, later in the program, has already written its gradient
            p.add_input[k][i] = p.reached[u]
            p.reached[u] = True
        if step.owner >= 0:
            p.add_arrays[k] = p.array_reached[step.owner]
            p.array_reached[step.owner] = True


# The step that prepares the parameters of step k: the first step that prepares the same parameters
# in the same way.
cdef Py_ssize_t preparing_step(const Program *p, Py_ssize_t k) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    cdef const Step *other
    cdef Py_ssize_t j
    if step.owner < 0 or step.operation.same_prepared == NULL:
        return k
    for j in range(step.owner, k):
        other = &p.steps[j]
        if (
            other.owner == step.owner and other.operation == step.operation
            and p.prepared_by[j] == j and step.operation.same_prepared(other, step)
        ):
            return j
    return k


# The layout of the prepared parameters. OUT: p.prepared, prepared_by, prepared_backward, preparing,
# prepared_size.
cdef int plan_prepared(Program *p) noexcept nogil:
    cdef Py_ssize_t k, forward = 0, backward = 0, scratch = 0, total = 0
    cdef const Step *step
    for k in range(p.n_steps):
        step = &p.steps[k]
        p.prepared_by[k] = preparing_step(p, k)
        if p.prepared_by[k] == k and grow(&forward, step.sizes.prepared):
            return OVERFLOW
        if grow(&backward, step.sizes.prepared_backward):
            return OVERFLOW
        scratch = max(scratch, step.sizes.preparing)
    if p.target < 0 or (
        (forward + backward) > max(MAX_PREPARED_BYTES // p.item_size, 2 * p.n)
    ):
        backward = -1
    for k in range(p.n_steps):
        step = &p.steps[k]
        if p.prepared_by[k] != k:
            p.prepared[k] = p.prepared[p.prepared_by[k]]
        else:
            p.prepared[k] = total
            if grow(&total, step.sizes.prepared):
                return OVERFLOW
        p.prepared_backward[k] = -1
        if backward >= 0 and step.sizes.prepared_backward > 0:
            p.prepared_backward[k] = total
            if grow(&total, step.sizes.prepared_backward):
                return OVERFLOW
    p.preparing = total
    if grow(&total, scratch):
        return OVERFLOW
    p.prepared_size = total
    return OK


# Add the scratch of one thread, and after it what threads share. INOUT: total. OUT: places.
cdef int plan_scratch(
    const Program *p, bint backward, Places *places, Py_ssize_t *total
) noexcept nogil:
    cdef Py_ssize_t k, own = 0, shared = 0
    cdef const Sizes *sizes
    for k in range(p.n_steps):
        sizes = &p.steps[k].sizes
        own, shared = max(own, sizes.forward), max(shared, sizes.shared_forward)
        if backward:
            own, shared = max(own, sizes.backward), max(shared, sizes.shared_backward)
    if max(own, shared) > PY_SSIZE_T_MAX // 16:
        return OVERFLOW
    places.scratch = total[0]
    places.scratch_size = rounded(own * p.item_size)
    if grow(total, places.scratch_size) or grow(total, shared * p.item_size):
        return OVERFLOW
    return OK


# The places of the gradients, or of their tangents. INOUT: total. OUT: places.gradient.
cdef int plan_gradients(
    const Program *p, Places *places, Buffer *buffers, Py_ssize_t *order, Py_ssize_t *total
) noexcept nogil:
    cdef Py_ssize_t k, i, n = 0, size
    for k in range(p.n_steps + 1):
        places.gradient[k] = -1
        if p.reached[k] and p.wanted[k] or k == p.target:
            # in use from its last reader, which writes it first, to the step that computes the
            # value
            buffers[n].size = places.images * p.values[k].size * p.item_size
            buffers[n].first = k - 1
            buffers[n].last = p.n_steps if k == p.target else 0
            places.gradient[k] = n
            n += 1
    for k in range(p.n_steps):
        if p.reached[k + 1]:
            for i in range(p.steps[k].n_inputs):
                size = places.gradient[p.steps[k].inputs[i]]
                if size >= 0:
                    buffers[size].last = max(buffers[size].last, k)
    size = arrange(buffers, n, order)
    if size < 0:
        return OVERFLOW
    for k in range(p.n_steps + 1):
        if places.gradient[k] >= 0:
            places.gradient[k] = total[0] + buffers[places.gradient[k]].at
    return OVERFLOW if grow(total, size) else OK


# The block for training: tables, values, saved and kept data, gradients, scratch.
cdef int plan_training(Program *p, Buffer *buffers, Py_ssize_t *order) noexcept nogil:
    cdef Places *places = &p.training
    cdef Py_ssize_t k, total = tables_size(p)
    cdef const Step *step
    for k in range(p.n_steps):
        step = &p.steps[k]
        places.value[k + 1] = total
        if grow(&total, places.images * p.values[k + 1].size * p.item_size):
            return OVERFLOW
        places.saved[k] = total
        if grow(&total, places.images * step.sizes.saved):
            return OVERFLOW
        places.kept[k] = -1
        if activation_needs_input(step.applied.code):
            places.kept[k] = total
            if grow(&total, places.images * p.values[k + 1].size * p.item_size):
                return OVERFLOW
    places.state = total
    if plan_gradients(p, places, buffers, order, &total) != OK:
        return OVERFLOW
    if plan_scratch(p, True, places, &total) != OK:
        return OVERFLOW
    places.bytes = total
    return OK


# Add the scratch of one thread, as for training, and after it what threads share. INOUT: total.
# OUT: places.
cdef int plan_tangent_scratch(
    const Program *p, bint backward, Places *places, Py_ssize_t *total
) noexcept nogil:
    cdef Py_ssize_t k, shared = 0
    for k in range(p.n_steps):
        shared = max(shared, p.steps[k].sizes.shared_tangent)
        if backward:
            shared = max(shared, p.steps[k].sizes.shared_backward)
    if shared > PY_SSIZE_T_MAX // 16:
        return OVERFLOW
    places.scratch = total[0]
    places.scratch_size = p.training.scratch_size
    if grow(total, places.scratch_size) or grow(total, shared * p.item_size):
        return OVERFLOW
    places.bytes = total[0]
    return OK


# The block for tangents: addresses of the tangents of the inputs of a step, tangents of the values
# that depend on parameters, scratch of one thread as for training, shared scratch.
cdef int plan_tangent(Program *p, Buffer *buffers, Py_ssize_t *order) noexcept nogil:
    cdef Places *places = &p.tangent
    cdef Py_ssize_t k, n = 0, total = rounded(p.max_inputs * sizeof(void *)), size
    places.images = p.training.images
    for k in range(p.n_steps + 1):
        places.value[k] = -1
        if p.reached[k] and p.wanted[k] or k == p.target:
            # in use from the step that computes it to its last reader
            buffers[n].size = places.images * p.values[k].size * p.item_size
            buffers[n].first = k - 1
            buffers[n].last = p.n_steps if k == p.target else p.last_reader[k]
            places.value[k] = n
            n += 1
    size = arrange(buffers, n, order)
    if size < 0:
        return OVERFLOW
    for k in range(p.n_steps + 1):
        if places.value[k] >= 0:
            places.value[k] = total + buffers[places.value[k]].at
    if grow(&total, size):
        return OVERFLOW
    return plan_tangent_scratch(p, False, places, &total)


# The block for Hessians: addresses of the tangents of the inputs of a step, tangents of the values
# and of inputs of activations, tangents of the gradients, scratch as for training.
cdef int plan_hessian(Program *p, Buffer *buffers, Py_ssize_t *order) noexcept nogil:
    cdef Places *places = &p.hessian
    cdef Py_ssize_t k, total = rounded(2 * p.max_inputs * sizeof(void *)), size
    places.images = p.training.images
    for k in range(p.n_steps + 1):
        places.value[k] = -1
        size = places.images * p.values[k].size * p.item_size
        if p.reached[k] and p.wanted[k] or k == p.target:
            places.value[k] = total
            if grow(&total, size):
                return OVERFLOW
        if k > 0:
            places.kept[k - 1] = -1
        if k > 0 and places.value[k] >= 0 and p.training.kept[k - 1] >= 0:
            places.kept[k - 1] = total
            if grow(&total, size):
                return OVERFLOW
    places.state = total
    if plan_gradients(p, places, buffers, order, &total) != OK:
        return OVERFLOW
    return plan_tangent_scratch(p, True, places, &total)


# The layout of the values except outputs, by their lifetimes. Its sizes are those of one image, so
# that fewer images take less memory.
cdef int arrange_values(Program *p, Buffer *buffers, Py_ssize_t *order) noexcept nogil:
    cdef Places *places = &p.inference
    cdef Py_ssize_t k, n = 0
    for k in range(p.n_steps + 1):
        places.value[k] = -1
        if k > 0 and p.last_reader[k] < p.n_steps:
            buffers[n].size = p.values[k].size * p.item_size
            buffers[n].first, buffers[n].last = k - 1, p.last_reader[k]
            places.value[k] = n
            n += 1
    places.values = arrange(buffers, n, order)
    if places.values < 0:
        return OVERFLOW
    for k in range(p.n_steps + 1):
        if places.value[k] >= 0:
            places.value[k] = buffers[places.value[k]].at
    return OK


cdef int program_arrange(Program *p) noexcept nogil:
    cdef Buffer *buffers = <Buffer *> PyMem_RawCalloc(p.n_steps + 1, sizeof(Buffer))
    cdef Py_ssize_t *order = <Py_ssize_t *> PyMem_RawCalloc(
        2 * (p.n_steps + 1), sizeof(Py_ssize_t)
    )
    cdef int status = MEMORY
    if buffers != NULL and order != NULL:
        status = arrange_values(p, buffers, order)
    PyMem_RawFree(buffers)
    PyMem_RawFree(order)
    return status


# The block for inference: tables, values of each image, scratch.
cdef int plan_inference(Program *p, Buffer *buffers, Py_ssize_t *order) noexcept nogil:
    cdef Places *places = &p.inference
    cdef Py_ssize_t total = 0, size = 0
    cdef int status = arrange_values(p, buffers, order)
    if status != OK:
        return status
    if mul_overflows(places.images, places.values, &size):
        return OVERFLOW
    if grow(&total, tables_size(p)) or grow(&total, size):
        return OVERFLOW
    if plan_scratch(p, False, places, &total) != OK:
        return OVERFLOW
    places.bytes = total
    return OK


cdef Py_ssize_t program_predict_size(const Program *p, Py_ssize_t l) noexcept nogil:
    return p.inference.bytes - (p.inference.images - l) * p.inference.values


cdef Py_ssize_t program_extra_size(const Program *p, int n_threads) noexcept nogil:
    cdef Py_ssize_t size = p.inference.scratch_size
    if p.target >= 0:
        size = max(size, p.training.scratch_size)
    return -1 if mul_overflows(size, n_threads - 1, &size) else size


cdef int program_plan(
    Program *p, Py_ssize_t images, Py_ssize_t usual, Py_ssize_t target, bint frozen,
    bint compact=False,
) noexcept nogil:
    cdef Buffer *buffers
    cdef Py_ssize_t *order
    cdef Step *step
    cdef Py_ssize_t k
    cdef int status
    p.target = target
    p.training.images = p.inference.images = images
    trace_gradients(p)
    for k in range(p.n_steps):
        step = &p.steps[k]
        step.images, step.usual, step.frozen, step.compact = images, usual, frozen, compact
        memset(&step.sizes, 0, sizeof(step.sizes))
        if step.operation.sizes != NULL:
            status = step.operation.sizes(step, &step.sizes)
            if status != OK:
                return status
    status = plan_prepared(p)
    if status != OK:
        return status
    buffers = <Buffer *> PyMem_RawCalloc(p.n_steps + 1, sizeof(Buffer))
    order = <Py_ssize_t *> PyMem_RawCalloc(2 * (p.n_steps + 1), sizeof(Py_ssize_t))
    if buffers == NULL or order == NULL:
        status = MEMORY
    if status == OK:
        status = plan_inference(p, buffers, order)
    if status == OK and target >= 0:
        status = plan_training(p, buffers, order)
    if status == OK and target >= 0:
        status = plan_tangent(p, buffers, order)
    if status == OK and target >= 0:
        status = plan_hessian(p, buffers, order)
    PyMem_RawFree(buffers)
    PyMem_RawFree(order)
    return status
