"""Opening programs from descriptions."""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.string cimport memset

from ._activation cimport CLIP, activation_status, uses_alpha, uses_beta
from ._description cimport (
    RECORD_WORDS, Header, Record, ends_with_theta, number, read_header, read_record, word,
)
from ._operation cimport Operation, Step, Value, set_activation, set_image
from ._operations cimport find_operation
from ._program cimport PY_SSIZE_T_MAX, Program, rounded
from ._geometry cimport mul_overflows
from ._status cimport FORMAT, MEMORY, NULL_POINTER, OK, OVERFLOW, SIZE


# Memory -------------------------------------------------------------------------------------------


# One block of memory from which arrays are allocated. If `start` is NULL, sizes are only counted.
cdef struct Arena:
    char *start
    Py_ssize_t used


# Allocate an array of `count` elements of `size` bytes. INOUT: arena.
cdef void *take(Arena *arena, Py_ssize_t count, size_t size) noexcept nogil:
    cdef void *array = NULL if arena.start == NULL else arena.start + arena.used
    arena.used += rounded(count * <Py_ssize_t> size)
    return array


# Sums over all records.
cdef struct Totals:
    Py_ssize_t inputs, words, numbers, own
    Py_ssize_t max_inputs       # of one step


# Allocate the arrays of a program. INOUT: arena. OUT: p.
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
    p.training.kept = <Py_ssize_t *> take(arena, p.n_steps, sizeof(Py_ssize_t))
    p.training.gradient = <Py_ssize_t *> take(arena, values, sizeof(Py_ssize_t))
    p.inference.value = <Py_ssize_t *> take(arena, values, sizeof(Py_ssize_t))
    p.tangent.value = <Py_ssize_t *> take(arena, values, sizeof(Py_ssize_t))
    p.hessian.value = <Py_ssize_t *> take(arena, values, sizeof(Py_ssize_t))
    p.hessian.kept = <Py_ssize_t *> take(arena, p.n_steps, sizeof(Py_ssize_t))
    p.hessian.gradient = <Py_ssize_t *> take(arena, values, sizeof(Py_ssize_t))


# Records ------------------------------------------------------------------------------------------


# Check the structure of the records. OUT: totals. Returns a status.
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
        totals.max_inputs = max(totals.max_inputs, record.inputs)
        totals.words += record.words
        totals.numbers += record.numbers
        totals.own += rounded(operation.own_size)
        at += record.length
    return OK if ends_with_theta(data, size, header, at) else FORMAT


# Set the offsets of the parameters of step k: its own, which are appended to theta, or those of the
# step `owner` - 1. INOUT: p, step. Returns a status.
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


# Read step k from its record. INOUT: p; inputs, ..., own: the remaining parts of arrays of all
# steps. Returns a status.
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
    numbers_wanted = record.inputs if operation.has_numbers else operation.n_numbers
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
    # an activation has only one encoding: parameters that it does not use are 0
    if step.activation.beta != 0 and not uses_beta(step.activation.code):
        return FORMAT
    if step.activation.alpha != 0 and not uses_alpha(step.activation.code):
        return FORMAT
    if step.activation.code == CLIP and step.activation.alpha == step.activation.beta:
        return FORMAT
    set_activation(step, step.activation)
    status = operation.shape(step, output)
    if status != OK:
        return status
    return place_arrays(p, step, k, record.owner)


# OUT: value.size. Returns a status.
cdef int set_size(Value *value) noexcept nogil:
    if mul_overflows(value.height, value.width, &value.size):
        return OVERFLOW
    if mul_overflows(value.size, value.channels, &value.size):
        return OVERFLOW
    # so that the bytes of 65536 images, and sums of several such sizes, do not overflow
    return OVERFLOW if value.size > PY_SSIZE_T_MAX >> 24 else OK


# Read all steps and outputs. INOUT: p, arena. OUT: at, as for program_open. Returns a status.
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
    draft.max_inputs = totals.max_inputs
    arena.start, arena.used = NULL, 0
    take(&arena, 1, sizeof(Program))
    lay_out(&arena, &draft, &totals)
    # the arrays of read_steps
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
