"""A network as one program: a graph of steps over numbered values, planned once.

`program_open` makes it from a description; `program_plan` settles how many images go at once, and
where everything lies. Afterwards it is only read, by any number of threads. A thread brings a block
of memory, and the prepared parameters are shared by all.

    block for training      values, what they save, gradients that share memory by their lifetimes,
                            scratch, scratch that threads share
    block for inference     values that share memory by their lifetimes, scratch, scratch that
                            threads share
    extra                   scratch of each further thread that takes part in a pass
    prepared                of every step: filters transformed or permuted, for each pass; scratch
"""

from libc.stdint cimport uintptr_t

from ._operation cimport Step, Value

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    LINE = 64                   # every array of a program or a block begins at a multiple


# Where a value lies in one kind of block; bytes from its start.
cdef struct Places:
    Py_ssize_t images           # at most at once
    Py_ssize_t *value           # by value; -1: in the caller's memory; for inference of one image
    Py_ssize_t *saved           # by step
    Py_ssize_t *gradient        # by value; -1: has none
    Py_ssize_t values           # for inference: of all values of one image
    Py_ssize_t scratch          # for training; what the threads share is behind it
    Py_ssize_t scratch_size     # of one thread, a multiple of LINE
    Py_ssize_t bytes            # of the whole block


cdef struct Program:
    Py_ssize_t item_size, n_steps, n_outputs
    Py_ssize_t usual            # images of a usual call, by the description
    Py_ssize_t n                # numbers in theta
    Py_ssize_t max_inputs       # of one step
    Py_ssize_t theta            # byte of the description at which theta begins; 0: it has none
    Value *values               # n_steps + 1
    Step *steps
    int *outputs                # values
    Py_ssize_t *last_reader     # by value: the last step that reads it; n_steps for an output
    Py_ssize_t *merged          # by step: the affine step that it takes in, behind the n_steps; -1
    # what follows is planned
    Py_ssize_t target           # value that gradients are computed of
    Py_ssize_t *prepared        # by step: numbers from the start of the prepared parameters
    Py_ssize_t *prepared_by     # by step: the step that prepares them, often itself
    Py_ssize_t *prepared_backward   # -1: prepared by the step itself, every time
    Py_ssize_t prepared_size    # numbers of all, with the scratch for preparing
    Py_ssize_t preparing        # where that begins
    char *wanted                # by value: whether it depends on parameters
    char *reached               # by value: whether the target depends on it
    char **add_input            # by step and input: whether another reader wrote before
    char *add_arrays            # by step: whether another step with the same parameters did
    char *array_reached         # by step that owns parameters: whether any reader is reached
    Places training, inference
    Py_ssize_t bytes            # of memory: all of the above, and of the operations


cdef inline Py_ssize_t rounded(Py_ssize_t size) noexcept nogil:
    return (size + LINE - 1) // LINE * LINE


cdef inline void *aligned(void *memory) noexcept nogil:
    return <void *> ((<uintptr_t> memory + LINE - 1) // LINE * LINE)


# total += size, on a cache line of its own. True when that overflows.
cdef inline bint grow(Py_ssize_t *total, Py_ssize_t size) noexcept nogil:
    if size < 0 or size > PY_SSIZE_T_MAX // 16 - LINE - total[0]:
        return True
    total[0] += rounded(size)
    return False


# The tables at the beginning of a block: where each value lies, and pointers of one call.
cdef struct Tables:
    const void **values
    const void **inputs
    void **d_inputs


cdef inline Tables tables_of(const Program *p, void *block) noexcept nogil:
    cdef Tables tables
    tables.values = <const void **> block
    tables.inputs = tables.values + p.n_steps + 1
    tables.d_inputs = <void **> (tables.inputs + p.max_inputs)
    return tables


cdef inline Py_ssize_t tables_size(const Program *p) noexcept nogil:
    return rounded((p.n_steps + 1 + 2 * p.max_inputs) * sizeof(void *))
