"""Objectives of the C interface: programs planned for one output, a loss, the theta of their file.

Contracts without a comment are those of ``matconv/table.h``.
"""

from ._program cimport Program

cdef extern from "matconv/types.h" nogil:
    # opaque; points to a `Problem`
    ctypedef struct Objective "matconv_objective":
        pass
    ctypedef struct LossName "matconv_loss":
        size_t struct_size
        const char *name
        double parameter
        int positions
    ctypedef struct ObjectiveShape "matconv_objective_shape":
        size_t struct_size
        Py_ssize_t height, width, channels, out_height, out_width, out_channels
        Py_ssize_t parameters, item_size


# The rule that cuts images into shards and groups these into leaves, see `matconv.sharding`.
cdef struct Sharding:
    Py_ssize_t shard_size   # maximum number of images of a shard
    Py_ssize_t four, two    # minimum number of images of a shard for several shards, or two
    Py_ssize_t max_leaves


# An opened objective.
cdef struct Problem:
    Program *program        # planned for shard_size images
    int code                # of the loss, NO_LOSS: none
    double parameter        # of the loss
    Py_ssize_t positions    # samples of an image
    Sharding sharding
    void *theta             # of the file


# The offsets of a call's arrays in its scratch, and sizes, in bytes.
cdef struct Layout:
    Py_ssize_t block, prepared      # of the passes
    Py_ssize_t vectors              # sums of leaves that wait for others
    Py_ssize_t vector               # size of one of them
    Py_ssize_t gradient_size        # of all of these, which gradients need
    Py_ssize_t t_block, t_prepared  # of passes along a direction
    Py_ssize_t product_size         # of all

# objective_open.
cdef int objective_open(
    const char *path, const LossName *loss, Py_ssize_t output, Objective **objective
) noexcept nogil

# objective_open_memory.
cdef int objective_open_memory(
    const void *data, size_t size, const LossName *loss, Py_ssize_t output, Objective **objective
) noexcept nogil

# objective_close.
cdef void objective_close(Objective *objective) noexcept nogil

# objective_get_shape.
cdef int objective_shape(const Objective *objective, ObjectiveShape *shape) noexcept nogil

# objective_workspace_size.
cdef int objective_workspace(
    const Objective *objective, Py_ssize_t images, Py_ssize_t *gradient_size,
    Py_ssize_t *product_size,
) noexcept nogil

# The layout of the scratch of a call with up to l images, from a multiple of LINE on. OUT: layout.
# Returns OK or OVERFLOW.
cdef int objective_layout(const Problem *problem, Py_ssize_t l, Layout *layout) noexcept nogil

# The number of shards of l images.
cdef Py_ssize_t shard_count(const Sharding *rule, Py_ssize_t l) noexcept nogil
