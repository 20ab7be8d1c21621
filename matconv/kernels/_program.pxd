"""Programs: networks as graphs of steps over numbered values, planned once.

`program_open` makes a program from a description, and `program_plan` computes the layout of memory.
Then it is read-only, and any number of threads may use it. Each pass needs a block of memory; all
share the prepared parameters.

    block for training      values, saved data, gradients (which share memory according to their
                            lifetimes), scratch, scratch that threads share
    block for inference     values (which share memory according to their lifetimes), scratch,
                            scratch that threads share
    state                   the beginning of a block for training: values, saved data; all that
                            later passes read of a forward pass, which may write it elsewhere
    block for tangents      tangents of the values (which share memory according to their
                            lifetimes), scratch, scratch that threads share; used together with a
                            state that the forward pass has filled
    block for Hessians      tangents of the values and of inputs of activations, tangents of the
                            gradients (which share memory as these do), scratch, scratch that
                            threads share; used together with a state and a block for training
    extra                   scratch of each thread of a pass except the calling one
    prepared                filters of each step, transformed or permuted, for each pass; scratch
"""

from libc.stdint cimport uintptr_t

from ._operation cimport Step, Value

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    LINE = 64                   # alignment of the arrays of a program or a block, in bytes


# The layout of a block for training, inference or tangents; offsets and sizes in bytes.
cdef struct Places:
    Py_ssize_t images           # maximum number of images
    # offset by value; -1: not in the block; for inference of one image; for tangents and Hessians
    # of R{value}
    Py_ssize_t *value
    Py_ssize_t *saved           # offset by step; for training
    # offset by step of the input of its activation; -1: none; for training, for Hessians of
    # R{input}
    Py_ssize_t *kept
    # offset by value; -1: none; for training, for Hessians of R{gradient}
    Py_ssize_t *gradient
    Py_ssize_t state            # size of the state; for training; for Hessians of R{state}
    Py_ssize_t values           # size of all values of one image; for inference
    Py_ssize_t scratch          # offset of the scratch, for `images` images; shared scratch follows
    Py_ssize_t scratch_size     # of one thread, a multiple of LINE
    Py_ssize_t bytes            # of the whole block


cdef struct Program:
    Py_ssize_t item_size, n_steps, n_outputs
    Py_ssize_t usual            # typical number of images of a call, from the description
    Py_ssize_t n                # elements of theta
    Py_ssize_t max_inputs       # of one step
    Py_ssize_t theta            # offset of theta in the description, in bytes; 0: it has none
    Value *values               # n_steps + 1
    Step *steps
    int *outputs                # values
    Py_ssize_t *last_reader     # by value: the last step that reads it; n_steps for an output
    Py_ssize_t *merged          # by step: the affine step that it absorbs, after the n_steps; or -1
    # set by program_plan
    Py_ssize_t target           # the value whose gradients are computed
    Py_ssize_t *prepared        # by step: offset in the prepared parameters, in elements
    Py_ssize_t *prepared_by     # by step: the step that prepares its parameters, often itself
    Py_ssize_t *prepared_backward   # as prepared; -1: each backward pass prepares them
    Py_ssize_t prepared_size    # elements of all, with the scratch to prepare them
    Py_ssize_t preparing        # offset of that scratch, in elements
    char *wanted                # by value: whether it depends on parameters
    char *reached               # by value: whether the target depends on it
    char **add_input            # by step and input: whether the gradient is added to an earlier one
    char *add_arrays            # by step: the same for the gradients of its parameters
    char *array_reached         # by step that owns parameters: whether the target depends on them
    Places training, inference, tangent, hessian
    Py_ssize_t bytes            # of memory, for all of the above and the operations' data


# size, rounded up to a multiple of LINE.
cdef inline Py_ssize_t rounded(Py_ssize_t size) noexcept nogil:
    return (size + LINE - 1) // LINE * LINE


# The first address from `memory` on that is a multiple of LINE.
cdef inline void *aligned(void *memory) noexcept nogil:
    return <void *> ((<uintptr_t> memory + LINE - 1) // LINE * LINE)


# total += size, rounded up to a multiple of LINE. Returns true if it overflows. INOUT: total.
cdef inline bint grow(Py_ssize_t *total, Py_ssize_t size) noexcept nogil:
    if size < 0 or size > PY_SSIZE_T_MAX // 16 - LINE - total[0]:
        return True
    total[0] += rounded(size)
    return False


# Tables at the beginning of a block: addresses of all values, and of the inputs of one step.
cdef struct Tables:
    const void **values
    const void **inputs
    void **d_inputs


# The tables of a block.
cdef inline Tables tables_of(const Program *p, void *block) noexcept nogil:
    cdef Tables tables
    tables.values = <const void **> block
    tables.inputs = tables.values + p.n_steps + 1
    tables.d_inputs = <void **> (tables.inputs + p.max_inputs)
    return tables


# Bytes of the tables.
cdef inline Py_ssize_t tables_size(const Program *p) noexcept nogil:
    return rounded((p.n_steps + 1 + 2 * p.max_inputs) * sizeof(void *))
