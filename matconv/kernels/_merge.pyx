"""Merging of affine steps, gain x + bias per channel, with the steps before them.

Steps that copy their input are merged with the step before them, too.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.string cimport memcpy

from ._activation cimport ACTIVATION_NONE
from ._operation cimport Step, activation_of, set_activation
from ._program cimport Program
from ._status cimport MEMORY, OK


# Scratch of one call.
cdef struct Scratch:
    Py_ssize_t *into        # by step: the step that absorbs it; -1: none
    Py_ssize_t *readers     # by value: number of readers; an output counts as two
    Py_ssize_t *number      # by value: its new number
    Py_ssize_t *users       # by step: number of steps that use its parameters
    Py_ssize_t *owner       # by step: the new number of the first step that uses its parameters
    Step *steps             # copies of all steps


# Whether step k is affine and the step before it can absorb it.
cdef bint can_absorb(const Program *p, const Scratch *scratch, Py_ssize_t k) noexcept nogil:
    cdef const Step *affine = &p.steps[k]
    cdef Step *before
    cdef Py_ssize_t value
    if affine.operation.affine == NULL or affine.n_inputs != 1:
        return False
    value = affine.inputs[0]
    if value == 0 or scratch.readers[value] != 1:
        return False
    before = &p.steps[value - 1]
    return (
        before.operation.absorb != NULL and activation_of(before).code == ACTIVATION_NONE
        and before.owner == value - 1 and scratch.users[value - 1] == 1
        and p.merged[value - 1] < 0
        and affine.operation.affine(affine, NULL, NULL, NULL) == OK
        and before.operation.absorb(before, NULL, NULL, NULL) == OK
    )


# Whether step k copies the value of another step, and its own value is not an output.
cdef bint is_copy(const Program *p, Py_ssize_t k) noexcept nogil:
    cdef const Step *step = &p.steps[k]
    return (
        step.operation.identity and step.activation.code == ACTIVATION_NONE
        and step.inputs[0] != 0 and p.last_reader[k + 1] < p.n_steps
    )


# Find the steps to merge. OUT: scratch.into, p.merged. Returns the number of them.
cdef Py_ssize_t find_merges(Program *p, Scratch *scratch) noexcept nogil:
    cdef Py_ssize_t k, before, count = 0
    cdef int i
    for k in range(p.n_steps):
        scratch.into[k] = -1
        for i in range(p.steps[k].n_inputs):
            scratch.readers[p.steps[k].inputs[i]] += 1
        if p.steps[k].owner >= 0:
            scratch.users[p.steps[k].owner] += 1
    for k in range(p.n_outputs):
        scratch.readers[p.outputs[k]] += 2
    for k in range(p.n_steps):
        if is_copy(p, k):
            scratch.into[k] = p.steps[k].inputs[0] - 1
            count += 1
        elif can_absorb(p, scratch, k):
            before = p.steps[k].inputs[0] - 1
            scratch.into[k] = before
            p.merged[before] = k
            set_activation(&p.steps[before], activation_of(&p.steps[k]))
            count += 1
    return count


# Move a remaining step to its new number.
cdef void renumber(
    Program *p, const Scratch *scratch, Py_ssize_t old, Py_ssize_t new
) noexcept nogil:
    cdef Step *step = &p.steps[new]
    cdef int *inputs
    cdef int i
    step[0] = scratch.steps[old]
    inputs = <int *> step.inputs
    for i in range(step.n_inputs):
        inputs[i] = <int> scratch.number[inputs[i]]
    step.output = <int> new + 1
    if step.owner >= 0:
        if scratch.owner[step.owner] < 0:
            scratch.owner[step.owner] = new
        step.owner = <int> scratch.owner[step.owner]
    p.values[new + 1] = p.values[old + 1]
    p.add_input[new] = p.add_input[old]
    p.merged[new] = p.merged[old]


# Move the remaining steps to the front, in their order, and the others after them.
cdef void compact(Program *p, Scratch *scratch, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t remaining = p.n_steps - count, k, new = 0, absorbed = remaining
    cdef int i
    memcpy(scratch.steps, p.steps, p.n_steps * sizeof(Step))
    for k in range(p.n_steps):
        scratch.owner[k] = -1
        if scratch.into[k] < 0:
            new += 1
            scratch.number[k + 1] = new
        else:
            scratch.number[k + 1] = scratch.number[scratch.into[k] + 1]
    for k in range(p.n_steps):
        if scratch.into[k] < 0:
            renumber(p, scratch, k, scratch.number[k + 1] - 1)
    # after the loop above, since `renumber` copies p.merged
    for k in range(p.n_steps):
        if scratch.into[k] >= 0:
            p.steps[absorbed] = scratch.steps[k]
            if not scratch.steps[k].operation.identity:
                p.merged[scratch.number[k + 1] - 1] = absorbed
            absorbed += 1
    p.n_steps = remaining
    for k in range(remaining + 1):
        p.last_reader[k] = -1
    for k in range(remaining):
        for i in range(p.steps[k].n_inputs):
            p.last_reader[p.steps[k].inputs[i]] = k
    for k in range(p.n_outputs):
        p.outputs[k] = <int> scratch.number[p.outputs[k]]
        p.last_reader[p.outputs[k]] = remaining


cdef int program_merge(Program *p) noexcept nogil:
    cdef Py_ssize_t values = p.n_steps + 1, count
    cdef Py_ssize_t *memory = <Py_ssize_t *> PyMem_RawCalloc(5 * values, sizeof(Py_ssize_t))
    cdef Scratch scratch
    scratch.steps = <Step *> PyMem_RawCalloc(p.n_steps, sizeof(Step))
    if memory == NULL or scratch.steps == NULL:
        PyMem_RawFree(memory)
        PyMem_RawFree(scratch.steps)
        return MEMORY
    scratch.into, scratch.readers = memory, memory + values
    scratch.number, scratch.users = memory + 2 * values, memory + 3 * values
    scratch.owner = memory + 4 * values
    count = find_merges(p, &scratch)
    if count > 0:
        compact(p, &scratch, count)
    PyMem_RawFree(memory)
    PyMem_RawFree(scratch.steps)
    return OK
