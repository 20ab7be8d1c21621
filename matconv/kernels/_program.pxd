"""A network as one program: a graph of steps over numbered values, planned once.

`program_open` makes it from a description; `program_plan` settles how many images go at once, and
where everything lies. Afterwards it is only read, by any number of threads. A thread brings a block
of memory, and the prepared parameters are shared by all.

    block for training      values, what they save, gradients that share memory by their lifetimes,
                            scratch
    block for inference     values that share memory by their lifetimes, scratch
    prepared                of every step: filters transformed or permuted, for each pass; scratch
"""

from ._operation cimport Step, Value

# Where a value lies in one kind of block; bytes from its start.
cdef struct Places:
    Py_ssize_t images           # at most at once
    Py_ssize_t *value           # by value; -1: in the caller's memory; for inference of one image
    Py_ssize_t *saved           # by step
    Py_ssize_t *gradient        # by value; -1: has none
    Py_ssize_t values           # for inference: of all values of one image
    Py_ssize_t scratch
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


# A program from a description (size bytes of data). OUT: program; at: of an error in a step, its
# index. Returns a Status.
cdef int program_open(
    const void *data, size_t size, Program **program, Py_ssize_t *at
) noexcept nogil

cdef void program_close(Program *program) noexcept nogil

# Plan for at most `images` at once, algorithms for `usual`. With a target, a value, training is
# planned as well; -1: inference alone. `frozen`: theta does not change. `compact`: prepared
# parameters take no more memory than in theta. Returns a Status.
cdef int program_plan(
    Program *p, Py_ssize_t images, Py_ssize_t usual, Py_ssize_t target, bint frozen,
    bint compact=*
) noexcept nogil

# Only the places of the values for inference: p.inference.value and values. `program_plan` does
# this too. Returns a Status.
cdef int program_arrange(Program *p) noexcept nogil

# IN: arrays of step k. OUT: prepared, its own. SCRATCH: sizes.preparing numbers.
cdef void program_prepare_step(
    const Program *p, Py_ssize_t k, const void **arrays, void *prepared, void *scratch
) noexcept nogil

# IN: theta. OUT: prepared, prepared_size numbers. For the backward pass too when `backward`.
cdef void program_prepare(
    const Program *p, const void *theta, void *prepared, bint backward
) noexcept nogil

# Bytes of the block for inference of l images, at most p.inference.images.
cdef Py_ssize_t program_predict_size(const Program *p, Py_ssize_t l) noexcept nogil

# Inference of l images, at most p.inference.images. IN: theta, prepared, Z. OUT: outputs, one
# array for each. SCRATCH: block, program_predict_size(p, l) bytes.
cdef void program_predict(
    const Program *p, const void *theta, const void *prepared, Py_ssize_t l, const void *Z,
    void **outputs, void *block,
) noexcept nogil

# The forward pass that keeps what `program_backward` needs, of at most p.training.images.
# IN: theta, prepared, Z. INOUT: block, p.training.bytes. Returns the target's value.
cdef void *program_forward(
    const Program *p, const void *theta, const void *prepared, Py_ssize_t l, const void *Z,
    void *block,
) noexcept nogil

# Where the gradient for the target goes before `program_backward`.
cdef void *program_target_gradient(const Program *p, void *block) noexcept nogil

# The gradient for theta, or added to it when add. IN: theta, prepared, Z. INOUT: block.
# OUT: dtheta.
cdef void program_backward(
    const Program *p, const void *theta, const void *prepared, Py_ssize_t l, const void *Z,
    void *block, bint add, void *dtheta,
) noexcept nogil
