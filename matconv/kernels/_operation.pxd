"""Steps of a program, and operations, the tables of C functions that run them.

A program is a list of steps over numbered values. Value 0 is the input; step k computes value k + 1
from values before it. An operation is a table, `Operation`; a program uses nothing else of it.
`matconv/README.md` shows how to add one.

Contracts of the entries, and of the functions with these names in ``ops``, of which
`operation` returns the table. All are called without the GIL, and none allocates memory.

    shape     Check the words, numbers and inputs of the step; set `own`, the sizes of the parameter
              arrays, `fan_in` and `multiply_adds`. OUT: output. Returns a status.
    sizes     Sizes of memory for up to `step.images` images per call. OUT: sizes. Returns a status.
    prepare   Prepare the parameters for the passes. IN: call.arrays. OUT: call.prepared or, if
              `backward`, call.prepared_backward, unless sizes.prepared_backward is 0. SCRATCH:
              sizes.preparing.
    forward   IN: inputs, arrays, prepared, masks. OUT: output, and saved unless NULL. SCRATCH:
              scratch, shared.
    backward  Gradients from d_output, which may be overwritten. d_inputs[i] and d_arrays are not
              computed if NULL; they are added to if add_input[i] or add_arrays is set. SCRATCH:
              sizes.backward, shared.
    tangent   R{output}, the derivative of the output along a direction, from R{inputs} and
              R{arrays}, after the forward pass. IN: inputs, arrays, prepared, output, saved, masks;
              t_inputs, of which those that are 0 are NULL, but not all if there are no arrays;
              t_arrays, t_prepared. output is that of `forward`, or the value of the step if the
              activation of the program does not need its input. OUT: t_output. SCRATCH: scratch,
              of which there is enough for `forward` and for `backward`; shared,
              sizes.shared_tangent, also if the pass runs as a whole.
    tangent_backward
              Add, to the gradients of `backward`, their derivatives along R{inputs} and R{arrays}
              with d_output constant; with these R{d_inputs} and R{d_arrays} are complete after
              `backward` of R{d_output}. The activation of the step is none. IN: inputs, arrays,
              output, saved, d_output; t_inputs, of which those that are 0 are NULL; t_arrays,
              t_prepared_backward. INOUT: d_inputs and d_arrays, unless NULL. SCRATCH: as for
              `backward`. Not called if `flat`.
    split     The number of pieces of a phase of a pass over step.images images, for threads that
              share one shard; 0 if there is no such phase. The pass is FORWARD, BACKWARD,
              TANGENT or TANGENT_BACKWARD. Phases run one after another; the pieces of a phase run
              in any order or at the same time, each with its own scratch. The number depends on the
              step only, not on threads. NULL, or 1 in phase 0 and no phase 1: the step is not
              shared.
    affine    The step as gain x + bias per channel. OUT: gain, bias, `channels` elements each.
              Returns a status, SIZE if it is no such map. Without arrays only the status.
    absorb    Multiply each channel of the output by a gain and add a bias, by changing the
              parameters. First called without arrays, before the plan: prepare the step, which may
              get additional arrays. Then with arrays, of which the additional ones are zero: change
              them. INOUT: arrays. Returns a status, SIZE if the step cannot do this.
    same_prepared
              Whether two planned steps of the operation have the same prepared elements for the
              same parameters.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from ._activation cimport ACTIVATION_NONE, Activation, activation_needs_input

cdef enum:
    MAX_ARRAYS = 2       # parameter arrays of a step
    IMAGE = 3            # ranks of a value
    VECTOR = 1
    FORWARD = 0          # passes
    BACKWARD = 1
    TANGENT = 2
    TANGENT_BACKWARD = 3
    WHOLE = -1           # phase: the whole pass, on one thread
    # maximum number of pieces of a phase; minimum work of a piece, in elements or multiply-adds
    MAX_PIECES = 64
    PIECE_ELEMENTS = 1 << 15
    PIECE_MULTIPLY_ADDS = 1 << 21


# The shape of a value for one image: (height, width, channels), channels fastest. A vector is 1 x
# 1.
cdef struct Value:
    int rank
    Py_ssize_t height, width, channels
    Py_ssize_t size      # height width channels


cdef struct Sizes:
    Py_ssize_t saved                # bytes for each image
    Py_ssize_t forward, backward    # elements of scratch, for each thread
    # elements of scratch that all threads of a step share
    Py_ssize_t shared_forward, shared_backward, shared_tangent
    Py_ssize_t prepared, prepared_backward, preparing   # elements


cdef struct Step:
    const Operation *operation
    int n_inputs
    const int *inputs               # values that it reads
    const Value *values             # of the program, by number
    int output
    Activation activation           # that `operation` applies
    Activation applied              # that the program applies to the output of `operation`
    int n_words, n_numbers          # integers and floats of its description
    const Py_ssize_t *words
    const double *numbers
    int owner                       # step that owns its parameters, often itself; -1: none
    int n_arrays
    Py_ssize_t array_size[MAX_ARRAYS]
    Py_ssize_t array_at[MAX_ARRAYS]     # offset in theta; -1: added by `absorb`
    Py_ssize_t kept_at[MAX_ARRAYS]      # offset in the parameters of a frozen network
    Py_ssize_t fan_in               # inputs on which one output depends; 0 without weights
    double multiply_adds            # of the forward pass, for one image
    bint is_double
    bint frozen                     # parameters do not change
    bint compact                    # prepared parameters take no more memory than in theta
    Py_ssize_t images, usual        # maximum and typical number of images of a call
    Sizes sizes
    void *own                       # operation.own_size bytes


# What the random masks of a pass depend on, besides the step.
cdef struct Masks:
    uint64_t seed, epoch
    const int64_t *images   # by image of the call: its number in the whole data set


# The arguments of a pass of a step.
cdef struct Call:
    Py_ssize_t images
    const void **inputs
    void *output
    const void **arrays
    void *prepared
    void *prepared_backward
    void *saved
    void *scratch
    void *shared
    const Masks *masks      # NULL: none, for instance in inference
    int phase               # WHOLE, or a phase, of which `piece` is to be run
    Py_ssize_t piece
    void *d_output
    void **d_inputs
    const char *add_input
    void **d_arrays
    bint add_arrays
    const void **t_inputs   # R{inputs}; NULL: 0
    const void **t_arrays
    void *t_prepared        # as `prepared`, of t_arrays
    void *t_prepared_backward
    void *t_output


ctypedef int (*Shape)(Step *step, Value *output) noexcept nogil
ctypedef void (*Pass)(const Step *step, Call *call) noexcept nogil


cdef struct Operation:
    const char *name
    int min_inputs, max_inputs
    int n_words             # number of words of a description
    Py_ssize_t own_size     # bytes of `own`, which `shape` sets and the other entries read
    # whether `forward` applies the activation; otherwise the program does so in another pass, as it
    # does for activations whose derivative needs their input, which it keeps for the backward pass
    bint fused
    bint reads_activated    # if `fused`: also the latter, since inputs[0] is what they need
    bint has_numbers        # a number for each input
    int n_numbers           # otherwise the number of numbers of a description
    # whether the output is the input if there are no masks: frozen programs leave the step out
    bint identity
    # whether `backward` of an output gradient depends on inputs and arrays only at kinks, if at all
    bint flat
    int prepared_arrays     # the first arrays, this many, are read by `prepare`, not by `forward`
    Shape shape
    int (*sizes)(Step *step, Sizes *sizes) noexcept nogil
    void (*prepare)(const Step *step, Call *call, bint backward) noexcept nogil
    Pass forward
    Pass backward
    Pass tangent
    Pass tangent_backward
    Py_ssize_t (*split)(const Step *step, int direction, int phase) noexcept nogil
    int (*affine)(const Step *step, const void **arrays, void *gain, void *bias) noexcept nogil
    int (*absorb)(Step *step, const void *gain, const void *bias, void **arrays) noexcept nogil
    bint (*same_prepared)(const Step *one, const Step *other) noexcept nogil


# A table with the required entries; the others are NULL or 0.
cdef inline Operation new_operation(
    const char *name, int min_inputs, int max_inputs, Shape shape, Pass forward, Pass backward
) noexcept:
    cdef Operation table
    memset(&table, 0, sizeof(Operation))
    table.name = name
    table.min_inputs, table.max_inputs = min_inputs, max_inputs
    table.shape = shape
    table.forward = forward
    table.backward = backward
    return table


# Whether the direction of a pass is that of `backward`.
cdef inline bint goes_back(int direction) noexcept nogil:
    return direction == BACKWARD or direction == TANGENT_BACKWARD


# Set the activation of a step. OUT: step.activation, step.applied.
cdef inline void set_activation(Step *step, Activation activation) noexcept nogil:
    cdef bint by_operation = step.operation.fused and (
        step.operation.reads_activated or not activation_needs_input(activation.code)
    )
    step.activation = step.applied = activation
    if by_operation:
        step.applied.code = ACTIVATION_NONE
    else:
        step.activation.code = ACTIVATION_NONE


# The activation of a step.
cdef inline Activation activation_of(const Step *step) noexcept nogil:
    return step.applied if step.activation.code == ACTIVATION_NONE else step.activation


# The shape of input k.
cdef inline const Value *input_of(const Step *step, int k) noexcept nogil:
    return &step.values[step.inputs[k]]


# Set the shape of an image, except its size. OUT: value.
cdef inline void set_image(
    Value *value, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels
) noexcept nogil:
    value.rank = IMAGE
    value.height, value.width, value.channels = height, width, channels


# Set the shape of a vector, except its size. OUT: value.
cdef inline void set_vector(Value *value, Py_ssize_t units) noexcept nogil:
    value.rank = VECTOR
    value.height, value.width, value.channels = 1, 1, units


# Whether two values have the same rank and shape.
cdef inline bint same_shape(const Value *one, const Value *other) noexcept nogil:
    return (
        one.rank == other.rank and one.height == other.height and one.width == other.width
        and one.channels == other.channels
    )


# Rows, elements or other items from `first` to `last` - 1.
cdef struct Range:
    Py_ssize_t first, last


# The number of items per piece, where each of n items has `work`: there are at most MAX_PIECES
# pieces, each with at least `minimum` work, except the last one.
cdef inline Py_ssize_t piece_length(Py_ssize_t n, double work, double minimum) noexcept nogil:
    cdef double wanted = min(n * work / minimum, <double> MAX_PIECES)
    cdef Py_ssize_t pieces = max(<Py_ssize_t> wanted, <Py_ssize_t> 1)
    return max((n + pieces - 1) // pieces, <Py_ssize_t> 1)


# The maximum of piece_count, which is not monotone, for n items or fewer.
cdef inline Py_ssize_t piece_bound(Py_ssize_t n, double work, double minimum) noexcept nogil:
    return max(<Py_ssize_t> min(n * work / minimum, <double> MAX_PIECES), <Py_ssize_t> 1)


# The number of pieces of that length; 1 for no items.
cdef inline Py_ssize_t piece_count(Py_ssize_t n, Py_ssize_t length) noexcept nogil:
    return max((n + length - 1) // length, <Py_ssize_t> 1)


# The items of a call: all n of them, or its piece, which is empty if the call has fewer images than
# the step and so fewer pieces.
cdef inline Range range_of(const Call *call, Py_ssize_t n, Py_ssize_t length) noexcept nogil:
    cdef Range part
    part.first = 0
    part.last = n
    if call.phase != WHOLE:
        part.first = min(n, call.piece * length)
        part.last = min(n, part.first + length)
    return part


# The call of the forward pass on R{inputs}: the tangent pass of an operation that is linear and has
# no parameters.
cdef inline Call tangents_of(const Call *call) noexcept nogil:
    cdef Call part = call[0]
    part.inputs = call.t_inputs
    part.output = call.t_output
    part.saved = NULL
    return part


# The call of `tangent_backward` of an operation with one input that is linear in its input and,
# apart from a bias, in its first array: `backward` with R{input} and R{array} in the place of both.
cdef struct BilinearCall:
    Call call
    void *d_arrays[MAX_ARRAYS]
    char add


# Returns whether there is anything to add. OUT: part.
cdef inline bint bilinear_call(const Call *call, BilinearCall *part) noexcept nogil:
    part.call = call[0]
    part.d_arrays[0] = call.d_arrays[0]
    part.d_arrays[1] = NULL
    part.add = True
    part.call.inputs = call.t_inputs
    part.call.arrays = call.t_arrays
    part.call.prepared_backward = call.t_prepared_backward
    part.call.d_arrays = part.d_arrays
    part.call.add_input = &part.add
    part.call.add_arrays = True
    if call.t_inputs[0] == NULL:
        part.d_arrays[0] = NULL
    return call.d_inputs[0] != NULL or part.d_arrays[0] != NULL


# Elements of a piece of an elementwise operation, in all passes.
cdef inline Py_ssize_t elements_length(const Step *step) noexcept nogil:
    cdef Py_ssize_t n = step.images * step.values[step.output].size
    # a multiple of cache lines
    return (piece_length(n, step.n_inputs, PIECE_ELEMENTS) + 63) // 64 * 64


# The entry `split` of an elementwise operation.
cdef inline Py_ssize_t split_elements(
    const Step *step, int direction, int phase
) noexcept nogil:
    cdef Py_ssize_t n = step.images * step.values[step.output].size
    return piece_count(n, elements_length(step)) if phase == 0 else 0


# The elements of a call of an elementwise operation.
cdef inline Range elements_of(const Step *step, const Call *call) noexcept nogil:
    return range_of(call, call.images * step.values[step.output].size, elements_length(step))
