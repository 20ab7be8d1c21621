"""A network as one program: opening, planning, running."""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.string cimport memset

from ._activation cimport ACTIVATION_NONE, CLIP, RELU, activation_status
from ._arrange cimport Buffer, arrange
from ._description cimport (
    RECORD_WORDS, Header, Record, ends_with_theta, number, read_header, read_record, word,
)
from ._operation cimport Call, MAX_ARRAYS, Operation, Step, Value, set_image
from ._operations cimport find_operation
from .bias_relu cimport activation_backward_rows, bias_activation_rows
from .geometry cimport mul_overflows
from .status cimport FORMAT, MEMORY, NULL_POINTER, OK, OVERFLOW, SIZE

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    LINE = 64
    # prepared filters for the backward pass are shared by all shards up to so many bytes in all,
    # or twice theta
    MAX_PREPARED_BYTES = 1 << 26


cdef inline Py_ssize_t rounded(Py_ssize_t size) noexcept nogil:
    return (size + LINE - 1) // LINE * LINE


# total += size, on a cache line of its own. True when that overflows.
cdef inline bint grow(Py_ssize_t *total, Py_ssize_t size) noexcept nogil:
    if size < 0 or size > PY_SSIZE_T_MAX // 16 - LINE - total[0]:
        return True
    total[0] += rounded(size)
    return False


# Memory -------------------------------------------------------------------------------------------


# Pieces of one block of memory; at NULL it only counts.
cdef struct Arena:
    char *start
    Py_ssize_t used


cdef void *take(Arena *arena, Py_ssize_t count, size_t size) noexcept nogil:
    cdef void *piece = NULL if arena.start == NULL else arena.start + arena.used
    arena.used += rounded(count * <Py_ssize_t> size)
    return piece


# What the records hold, in all.
cdef struct Totals:
    Py_ssize_t inputs, words, numbers, own
    Py_ssize_t most_inputs      # of one step


# All parts of a program. INOUT: arena. OUT: p.
cdef void lay_out(Arena *arena, Program *p, const Totals *totals) noexcept nogil:
    cdef Py_ssize_t values = p.n_steps + 1
    p.values = <Value *> take(arena, values, sizeof(Value))
    p.steps = <Step *> take(arena, p.n_steps, sizeof(Step))
    p.outputs = <int *> take(arena, p.n_outputs, sizeof(int))
    p.last_reader = <Py_ssize_t *> take(arena, values, sizeof(Py_ssize_t))
    p.merged = <Py_ssize_t *> take(arena, p.n_steps, sizeof(Py_ssize_t))
    p.prepared = <Py_ssize_t *> take(arena, p.n_steps, sizeof(Py_ssize_t))
    p.prepared_by = <Py_ssize_t *> take(arena, p.n_steps, sizeof(Py_ssize_t))
    p.prepared_backward = <Py_ssize_t *> take(arena, p.n_steps, sizeof(Py_ssize_t))
    p.wanted = <char *> take(arena, values, 1)
    p.reached = <char *> take(arena, values, 1)
    p.add_input = <char **> take(arena, p.n_steps, sizeof(char *))
    p.add_arrays = <char *> take(arena, p.n_steps, 1)
    p.array_reached = <char *> take(arena, p.n_steps, 1)
    p.training.value = <Py_ssize_t *> take(arena, values, sizeof(Py_ssize_t))
    p.training.saved = <Py_ssize_t *> take(arena, p.n_steps, sizeof(Py_ssize_t))
    p.training.gradient = <Py_ssize_t *> take(arena, values, sizeof(Py_ssize_t))
    p.inference.value = <Py_ssize_t *> take(arena, values, sizeof(Py_ssize_t))


# Opening ------------------------------------------------------------------------------------------


cdef int count_records(
    const unsigned char *data, size_t size, const Header *header, Totals *totals
) noexcept nogil:
    cdef Py_ssize_t at = header.records, _k
    cdef Record record
    cdef const Operation *operation
    memset(totals, 0, sizeof(Totals))
    for _k in range(header.steps):
        if read_record(data, size, at, &record) != OK:
            return FORMAT
        operation = find_operation(record.name, record.name_length)
        if operation == NULL:
            return FORMAT
        totals.inputs += record.inputs
        totals.most_inputs = max(totals.most_inputs, record.inputs)
        totals.words += record.words
        totals.numbers += record.numbers
        totals.own += rounded(operation.own_size)
        at += record.length
    return OK if ends_with_theta(data, size, header, at) else FORMAT


# The parameters of a step: its own, which are appended to theta, or another one's.
cdef int place_arrays(Program *p, Step *step, Py_ssize_t k, Py_ssize_t owner) noexcept nogil:
    cdef const Step *other
    cdef int i
    if not 0 <= owner <= k:
        return FORMAT
    step.owner = -1
    if step.n_arrays == 0:
        return FORMAT if owner else OK
    if owner == 0:
        step.owner = <int> k
        for i in range(step.n_arrays):
            step.array_at[i] = p.n
            if step.array_size[i] > PY_SSIZE_T_MAX // 16 - p.n:
                return OVERFLOW
            p.n += step.array_size[i]
        return OK
    other = &p.steps[owner - 1]
    if other.owner != owner - 1 or other.n_arrays != step.n_arrays:
        return SIZE
    step.owner = other.owner
    for i in range(step.n_arrays):
        if other.array_size[i] != step.array_size[i]:
            return SIZE
        step.array_at[i] = other.array_at[i]
    return OK


# Step k from its record. INOUT: the arena's pieces, which begin with what is left of them.
cdef int read_step(
    Program *p, const unsigned char *data, const Record *record, Py_ssize_t k, int **inputs,
    char **add_input, Py_ssize_t **words, double **numbers, char **own,
) noexcept nogil:
    cdef Step *step = &p.steps[k]
    cdef Value *output = &p.values[k + 1]
    cdef const Operation *operation = find_operation(record.name, record.name_length)
    cdef Py_ssize_t i, at = record.at + RECORD_WORDS, numbers_wanted
    cdef int status
    step.operation = operation
    step.is_double = p.item_size == 8
    step.values = p.values
    step.output = <int> k + 1
    step.own = own[0]
    own[0] += rounded(operation.own_size)
    if not operation.min_inputs <= record.inputs <= operation.max_inputs:
        return FORMAT
    numbers_wanted = record.inputs if operation.has_numbers else 0
    if record.words != operation.n_words or record.numbers != numbers_wanted:
        return FORMAT
    step.n_inputs, step.inputs = <int> record.inputs, inputs[0]
    for i in range(record.inputs):
        if not 0 <= word(data, at + i) <= k:
            return FORMAT
        inputs[0][i] = <int> word(data, at + i)
        p.last_reader[inputs[0][i]] = k
    p.add_input[k] = add_input[0]
    inputs[0] += record.inputs
    add_input[0] += record.inputs
    at += record.inputs
    step.n_words, step.words = <int> record.words, words[0]
    for i in range(record.words):
        words[0][i] = word(data, at + i)
    words[0] += record.words
    at += record.words
    step.n_numbers, step.numbers = <int> record.numbers, numbers[0]
    for i in range(record.numbers):
        numbers[0][i] = number(data, at + i)
    numbers[0] += record.numbers
    i = word(data, record.at + 3)
    step.activation.code = <int> i if 0 <= i <= 1 << 20 else -1
    step.activation.alpha = number(data, record.at + 4)
    step.activation.beta = number(data, record.at + 5)
    status = activation_status(&step.activation, step.is_double)
    if status != OK:
        return status
    # one spelling of each activation: what has no meaning is 0
    if step.activation.code != CLIP and step.activation.beta != 0:
        return FORMAT
    if step.activation.code <= RELU and step.activation.alpha != 0:
        return FORMAT
    if step.activation.code == CLIP and step.activation.alpha == step.activation.beta:
        return FORMAT
    status = operation.shape(step, output)
    if status != OK:
        return status
    return place_arrays(p, step, k, record.owner)


cdef int set_size(Value *value) noexcept nogil:
    if mul_overflows(value.height, value.width, &value.size):
        return OVERFLOW
    if mul_overflows(value.size, value.channels, &value.size):
        return OVERFLOW
    # of 65536 images in bytes, with room for sums of a few
    return OVERFLOW if value.size > PY_SSIZE_T_MAX >> 24 else OK


cdef int read_steps(
    Program *p, const unsigned char *data, size_t size, const Header *header, Arena *arena,
    const Totals *totals, Py_ssize_t *at,
) noexcept nogil:
    cdef int *inputs = <int *> take(arena, totals.inputs, sizeof(int))
    cdef char *add_input = <char *> take(arena, totals.inputs, 1)
    cdef Py_ssize_t *words = <Py_ssize_t *> take(arena, totals.words, sizeof(Py_ssize_t))
    cdef double *numbers = <double *> take(arena, totals.numbers, sizeof(double))
    cdef char *own = <char *> take(arena, totals.own, 1)
    cdef Py_ssize_t k, position = header.records, i
    cdef Record record
    cdef int status
    set_image(&p.values[0], header.height, header.width, header.channels)
    status = set_size(&p.values[0])
    if status != OK:
        return status
    for k in range(p.n_steps + 1):
        p.last_reader[k] = -1
    for k in range(p.n_steps):
        at[0] = k
        p.merged[k] = -1
        read_record(data, size, position, &record)
        status = read_step(
            p, data, &record, k, &inputs, &add_input, &words, &numbers, &own
        )
        if status == OK:
            status = set_size(&p.values[k + 1])
        if status != OK:
            return status
        position += record.length
    at[0] = -1
    for k in range(p.n_outputs):
        i = word(data, header.records - p.n_outputs + k)
        if not 1 <= i <= p.n_steps or p.last_reader[i] == p.n_steps:
            return FORMAT
        p.outputs[k] = <int> i
        p.last_reader[i] = p.n_steps
    for k in range(p.n_steps + 1):
        if p.last_reader[k] < 0:
            return FORMAT  # a value that nothing reads
    if p.n != header.n:
        return FORMAT
    p.theta = 8 * position if header.has_theta else 0
    return OK


cdef int program_open(
    const void *data, size_t size, Program **program, Py_ssize_t *at
) noexcept nogil:
    cdef const unsigned char *file = <const unsigned char *> data
    cdef Program draft
    cdef Program *p
    cdef Header header
    cdef Totals totals
    cdef Arena arena
    cdef int status
    at[0] = -1
    program[0] = NULL
    if data == NULL:
        return NULL_POINTER
    status = read_header(file, size, &header)
    if status == OK:
        status = count_records(file, size, &header, &totals)
    if status != OK:
        return status
    memset(&draft, 0, sizeof(Program))
    draft.item_size, draft.n_steps = header.item_size, header.steps
    draft.n_outputs, draft.usual = header.outputs, header.images
    draft.max_inputs = totals.most_inputs
    arena.start, arena.used = NULL, 0
    take(&arena, 1, sizeof(Program))
    lay_out(&arena, &draft, &totals)
    # every piece of read_steps
    arena.used += rounded(totals.inputs * sizeof(int)) + rounded(totals.inputs)
    arena.used += rounded(8 * totals.words) + rounded(8 * totals.numbers) + rounded(totals.own)
    draft.bytes = arena.used
    arena.start = <char *> PyMem_RawCalloc(arena.used, 1)
    if arena.start == NULL:
        return MEMORY
    arena.used = 0
    p = <Program *> take(&arena, 1, sizeof(Program))
    p[0] = draft
    lay_out(&arena, p, &totals)
    status = read_steps(p, file, size, &header, &arena, &totals, at)
    if status != OK:
        program_close(p)
        return status
    program[0] = p
    return OK


cdef void program_close(Program *program) noexcept nogil:
    PyMem_RawFree(program)


# The tables at the beginning of a block: where each value lies, and pointers of one call.
cdef struct Tables:
    const void **values
    const void **inputs
    void **d_inputs


cdef Tables tables_of(const Program *p, void *block) noexcept nogil:
    cdef Tables tables
    tables.values = <const void **> block
    tables.inputs = tables.values + p.n_steps + 1
    tables.d_inputs = <void **> (tables.inputs + p.max_inputs)
    return tables


cdef Py_ssize_t tables_size(const Program *p) noexcept nogil:
    return rounded((p.n_steps + 1 + 2 * p.max_inputs) * sizeof(void *))


# Planning -----------------------------------------------------------------------------------------


# What depends on parameters; of what the target depends; who writes a gradient first.
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
            # `reached` of a value whose gradient is written: its readers come later
            p.add_input[k][i] = p.reached[u]
            p.reached[u] = True
        if step.owner >= 0:
            p.add_arrays[k] = p.array_reached[step.owner]
            p.array_reached[step.owner] = True


# The step that prepares for step k: the first with the same parameters that does so in the same
# way.
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


cdef int plan_prepared(Program *p) noexcept nogil:
    cdef Py_ssize_t k, forward = 0, backward = 0, most = 0, total = 0
    cdef const Step *step
    for k in range(p.n_steps):
        step = &p.steps[k]
        p.prepared_by[k] = preparing_step(p, k)
        if p.prepared_by[k] == k and grow(&forward, step.sizes.prepared):
            return OVERFLOW
        if grow(&backward, step.sizes.prepared_backward):
            return OVERFLOW
        most = max(most, step.sizes.preparing)
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
    if grow(&total, most):
        return OVERFLOW
    p.prepared_size = total
    return OK


# Values, what they save, gradients, scratch.
cdef int plan_training(Program *p, Buffer *buffers, Py_ssize_t *order) noexcept nogil:
    cdef Places *places = &p.training
    cdef Py_ssize_t k, i, n = 0, total = tables_size(p), scratch = 0, size
    cdef const Step *step
    for k in range(p.n_steps):
        step = &p.steps[k]
        places.value[k + 1] = total
        if grow(&total, places.images * p.values[k + 1].size * p.item_size):
            return OVERFLOW
        places.saved[k] = total
        if grow(&total, places.images * step.sizes.saved):
            return OVERFLOW
        size = max(step.sizes.forward, step.sizes.backward)
        if size > PY_SSIZE_T_MAX // 16:
            return OVERFLOW
        scratch = max(scratch, size * p.item_size)
    for k in range(p.n_steps + 1):
        places.gradient[k] = -1
        if p.reached[k] and p.wanted[k] or k == p.target:
            # from the last of its readers, which is the first to write, to the step that made it
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
            places.gradient[k] = total + buffers[places.gradient[k]].at
    if grow(&total, size):
        return OVERFLOW
    places.scratch = total
    if grow(&total, scratch):
        return OVERFLOW
    places.bytes = total
    return OK


# Values that are no outputs, by their lifetimes. Of one image, so that fewer images take less.
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
    cdef Py_ssize_t k, total = 0, size = 0, scratch = 0
    cdef int status = arrange_values(p, buffers, order)
    if status != OK:
        return status
    for k in range(p.n_steps):
        if p.steps[k].sizes.forward > PY_SSIZE_T_MAX // 16:
            return OVERFLOW
        scratch = max(scratch, p.steps[k].sizes.forward * p.item_size)
    if mul_overflows(places.images, places.values, &size):
        return OVERFLOW
    if grow(&total, tables_size(p)) or grow(&total, size) or grow(&total, scratch):
        return OVERFLOW
    places.bytes = total
    return OK


cdef Py_ssize_t program_predict_size(const Program *p, Py_ssize_t l) noexcept nogil:
    return p.inference.bytes - (p.inference.images - l) * p.inference.values


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
    PyMem_RawFree(buffers)
    PyMem_RawFree(order)
    return status


# Running ------------------------------------------------------------------------------------------


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
    call.last = 1
    if step.operation.split != NULL:
        call.last = step.operation.split(step, l)


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
