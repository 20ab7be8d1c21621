"""Steps of a program, and operations: the tables of C functions that steps are made of.

A program is a list of steps over numbered values. Value 0 is the input; step k makes value k + 1
from values before it. An operation fills one table, `Operation`, and nothing outside of its file
knows more of it. `matconv/README.md` shows how to add one.

Contracts of the entries (all are called without the GIL, none allocates):

    shape     Check the step's words, numbers and inputs; fill `own`, the sizes of the parameter
              arrays, `fan_in` and `multiply_adds`. OUT: output. Returns a Status.
    sizes     For at most `step.images` images at once: what `Sizes` says. Returns a Status.
    prepare   The parameters as the passes want them. IN: call.arrays. OUT: call.prepared or, when
              `backward`, call.prepared_backward. SCRATCH: sizes.preparing.
    forward   IN: inputs, arrays, prepared. OUT: output, and saved unless NULL. SCRATCH: scratch,
              shared.
    backward  Gradients from d_output, which may be overwritten. A d_inputs[i] that is NULL is not
              computed; one with add_input[i] is added to, and so are d_arrays with add_arrays. NULL
              d_arrays are not computed. SCRATCH: sizes.backward, shared.
    tangent, tangent_backward
              R{output} from R{inputs} and R{arrays}; R{d_inputs}, R{d_arrays}.
    split     Number of pieces of one phase of a pass over step.images images, for threads that
              share one shard: 0, there is no such phase. Phases run one after another, pieces of a
              phase in any order and at the same time, each with a scratch of its own. The number
              depends on the step alone, never on threads. NULL, or 1 in phase 0 and no phase 1: the
              step is not shared.
    affine    The step as gain x + bias per channel: OUT: gain, bias, `channels` numbers each.
              Returns a Status, SIZE of a step that is no such map; without arrays only that.
    absorb    Take a gain and a bias per channel of the output into the parameters. Without arrays
              the step changes so that it can, before it is planned, and may add arrays to its own;
              then, with arrays (the added ones are zero), it does. INOUT: arrays. Returns a Status,
              SIZE where it cannot.
    same_prepared
              Whether two steps of the operation prepare the same parameters to the same numbers,
              both planned.
"""

from libc.string cimport memset

from ._activation cimport Activation

cdef enum:
    MAX_ARRAYS = 2       # parameter arrays of a step
    IMAGE = 3            # ranks of a value
    VECTOR = 1
    FORWARD = 0          # passes
    BACKWARD = 1
    WHOLE = -1           # phase: all of the pass, on one thread
    # pieces of a phase at most, and the work of one at least: elements moved, or multiply-adds
    MAX_PIECES = 64
    PIECE_ELEMENTS = 1 << 15
    PIECE_MULTIPLY_ADDS = 1 << 21


# One image's part of a value: (height, width, channels), channels fastest. A vector is 1 x 1.
cdef struct Value:
    int rank
    Py_ssize_t height, width, channels
    Py_ssize_t size      # numbers: the product


cdef struct Sizes:
    Py_ssize_t saved                # bytes for each image
    Py_ssize_t forward, backward    # elements of scratch, of each thread
    # elements of scratch that all threads share, when they share the step
    Py_ssize_t shared_forward, shared_backward
    Py_ssize_t prepared, prepared_backward, preparing   # numbers


cdef struct Step:
    const Operation *operation
    int n_inputs
    const int *inputs               # values that it reads
    const Value *values             # of the program, by number
    int output
    Activation activation
    int n_words, n_numbers          # of its description
    const Py_ssize_t *words
    const double *numbers
    int owner                       # step whose parameters it uses, often itself; -1: none
    int n_arrays
    Py_ssize_t array_size[MAX_ARRAYS]
    Py_ssize_t array_at[MAX_ARRAYS]     # in theta; -1: added by `absorb`
    Py_ssize_t kept_at[MAX_ARRAYS]      # of a frozen network's parameters
    Py_ssize_t fan_in               # numbers that one output sees; 0 without weights
    double multiply_adds            # of the forward pass, for one image
    bint is_double
    bint frozen                     # parameters are prepared once and for all
    bint compact                    # and take no more memory than in theta
    Py_ssize_t images, usual        # at most at once, and in a usual call
    Sizes sizes
    void *own                       # operation.own_size bytes


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
    int phase               # WHOLE, or with `piece` a part of the pass
    Py_ssize_t piece
    void *d_output
    void **d_inputs
    const char *add_input
    void **d_arrays
    bint add_arrays


ctypedef int (*Shape)(Step *step, Value *output) noexcept nogil
ctypedef void (*Pass)(const Step *step, Call *call) noexcept nogil


cdef struct Operation:
    const char *name
    int min_inputs, max_inputs
    int n_words             # of a description, exactly
    Py_ssize_t own_size     # bytes that `shape` fills and the other entries read
    # applies the activation in its own pass; otherwise the program makes another over the output
    bint fused
    bint has_numbers        # one for each input
    int prepared_arrays     # arrays, the first ones, that `forward` does not read: `prepare` does
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


# A table with what every operation has; the other entries are NULL or 0.
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


cdef inline const Value *input_of(const Step *step, int k) noexcept nogil:
    return &step.values[step.inputs[k]]


cdef inline void set_image(
    Value *value, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels
) noexcept nogil:
    value.rank = IMAGE
    value.height, value.width, value.channels = height, width, channels


cdef inline void set_vector(Value *value, Py_ssize_t units) noexcept nogil:
    value.rank = VECTOR
    value.height, value.width, value.channels = 1, 1, units


cdef inline bint same_shape(const Value *one, const Value *other) noexcept nogil:
    return (
        one.rank == other.rank and one.height == other.height and one.width == other.width
        and one.channels == other.channels
    )


# Rows, elements, ... from `first` to `last` - 1.
cdef struct Range:
    Py_ssize_t first, last


# Length of the pieces that n items are cut into, the last one may be shorter: at most MAX_PIECES
# of them, each with work of `minimum` at least, where an item has `work`.
cdef inline Py_ssize_t piece_length(Py_ssize_t n, double work, double minimum) noexcept nogil:
    cdef double wanted = min(n * work / minimum, <double> MAX_PIECES)
    cdef Py_ssize_t pieces = max(<Py_ssize_t> wanted, <Py_ssize_t> 1)
    return max((n + pieces - 1) // pieces, <Py_ssize_t> 1)


# Maximum number of pieces of n items or fewer, for sizes; piece_count is not monotone in n.
cdef inline Py_ssize_t piece_bound(Py_ssize_t n, double work, double minimum) noexcept nogil:
    return max(<Py_ssize_t> min(n * work / minimum, <double> MAX_PIECES), <Py_ssize_t> 1)


# Number of pieces of that length; 1 of nothing.
cdef inline Py_ssize_t piece_count(Py_ssize_t n, Py_ssize_t length) noexcept nogil:
    return max((n + length - 1) // length, <Py_ssize_t> 1)


# What a call does of n items: all, or its piece, which is empty where there are fewer pieces of
# the call's images than of the step's.
cdef inline Range range_of(const Call *call, Py_ssize_t n, Py_ssize_t length) noexcept nogil:
    cdef Range part
    part.first = 0
    part.last = n
    if call.phase != WHOLE:
        part.first = min(n, call.piece * length)
        part.last = min(n, part.first + length)
    return part


# Pieces of an elementwise operation are runs of elements of the output, for both passes.
cdef inline Py_ssize_t elements_length(const Step *step) noexcept nogil:
    cdef Py_ssize_t n = step.images * step.values[step.output].size
    # whole cache lines
    return (piece_length(n, step.n_inputs, PIECE_ELEMENTS) + 63) // 64 * 64


cdef inline Py_ssize_t split_elements(
    const Step *step, int direction, int phase
) noexcept nogil:
    cdef Py_ssize_t n = step.images * step.values[step.output].size
    return piece_count(n, elements_length(step)) if phase == 0 else 0


cdef inline Range elements_of(const Step *step, const Call *call) noexcept nogil:
    return range_of(call, call.images * step.values[step.output].size, elements_length(step))
